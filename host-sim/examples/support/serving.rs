//! What the examples that serve have in common: they serve until a command inside the namespace ends, or for ever.

use std::process::{self, Command};
use std::thread;

use anyhow::{Context, Result};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use host_sim::family::Family;

/// Gives the exit code of the command, if there is one to wait for; says where the server is otherwise.
pub(crate) async fn until_the_end(command: Option<String>, paths: &str) -> Result<u8> {
    match command {
        Some(command) => execute(command).await,
        None => {
            explain(paths);
            std::future::pending().await
        }
    }
}

/// Runs a shell command, which inherits the namespace, beside the executor.
async fn execute(command: String) -> Result<u8> {
    static ENDED: Signal<CriticalSectionRawMutex, Result<u8>> = Signal::new();
    thread::spawn(move || {
        let status = Command::new("sh").arg("-c").arg(&command).status();
        // A command that a signal ended has no code; shells say 128 then, and more.
        let code = status.map(|status| status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(128));
        ENDED.signal(code.with_context(|| format!("cannot run a shell for: {command}")));
    });
    ENDED.wait().await
}

fn explain(paths: &str) {
    let pid = process::id();
    let namespaces = if is_own_user_namespace() { "-U -n --preserve-credentials" } else { "-n" };
    let [v4, v6] = Family::ALL.map(Family::our_addr);
    println!(
        "The server is at http://{v4}/ and http://[{v6}]/, in a network namespace of its own: {paths}.\n\
         From another terminal: nsenter -t {pid} {namespaces} curl http://{v4}/\n\
         Here, without another: --exec 'curl http://{v4}/'\n\
         Ctrl-C ends it."
    );
}

/// Returns whether the ids of this process are mapped one by one, as in a namespace that an ordinary user made.
fn is_own_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).is_some_and(|count| count == "1")
}
