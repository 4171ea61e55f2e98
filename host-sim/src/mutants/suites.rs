//! Runs core's test programs against one mutant after the other.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use wait_timeout::ChildExt;

use super::copy::{Program, VARIABLE};
use super::mutant::{Mutant, describe};

/// A mutant is given so many times what the suite takes without one, and at least this.
const PATIENCE: u32 = 8;
const LEAST_PATIENCE: Duration = Duration::from_secs(3);

/// Unit tests that go through all 2^32 cases, of modules that are not changed.
const SWEEPS: [&str; 2] = ["wire::seq::", "wire::checksum::"];

/// A test program, and how long it takes.
pub(crate) struct Suite {
    pub(crate) name: String,
    path: PathBuf,
    pub(crate) time: Duration,
}

/// What became of a mutant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// A suite failed.
    Noticed(String),
    /// A suite did not come to its end.
    Endless(String),
    Survived,
}

/// Measures every suite without a mutant; those that take longer than `most` are left out and named.
pub(crate) fn measure(programs: Vec<Program>, folder: &Path, most: Duration) -> Result<(Vec<Suite>, Vec<String>)> {
    let (mut suites, mut slow) = (Vec::new(), Vec::new());
    for Program { name, path } in programs {
        let began = Instant::now();
        match run(&path, folder, 0, most)? {
            Some(true) => suites.push(Suite { name, path, time: began.elapsed() }),
            Some(false) => bail!("`{name}` fails without any mutant: {} in {}", path.display(), folder.display()),
            None => slow.push(name),
        }
    }
    // One test for each rule notices most, in no time.
    suites.sort_by_key(|suite| (suite.name != "rules", suite.time));
    Ok((suites, slow))
}

/// Returns whether the program succeeded, or nothing if it took too long.
fn run(path: &Path, folder: &Path, mutant: usize, most: Duration) -> Result<Option<bool>> {
    let mut child: Child = Command::new(path)
        .args(["--test-threads", "1", "--quiet"])
        .args(SWEEPS.iter().flat_map(|sweep| ["--skip", sweep]))
        .current_dir(folder)
        .env(VARIABLE, mutant.to_string())
        .env("PROPTEST_CASES", "64")
        .env("PROPTEST_FAILURE_PERSISTENCE", "off")
        .env("CARGO_MANIFEST_DIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| path.display().to_string())?;
    if let Some(status) = child.wait_timeout(most)? {
        return Ok(Some(status.success()));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Runs every mutant against the suites until the first that fails.
pub(crate) fn judge(mutants: &[Mutant], suites: &[Suite], folder: &Path, jobs: usize) -> Result<Vec<Fate>> {
    let bar = ProgressBar::new(mutants.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (about {eta} left) {msg}")?);
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..mutants.len()).collect());
    let fates = Mutex::new(vec![Fate::Survived; mutants.len()]);
    let lock_failed = || anyhow::anyhow!("a thread has panicked");
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let Some(at) = queue.lock().map_err(|_| lock_failed())?.pop_front() else { return Ok(()) };
                let fate = fate_of(&mutants[at], suites, folder)?;
                if fate == Fate::Survived {
                    bar.suspend(|| anstream::println!("survives: {}", describe(&mutants[at])));
                }
                fates.lock().map_err(|_| lock_failed())?[at] = fate;
                bar.inc(1);
            }
        };
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| lock_failed())?)
    })?;
    bar.finish_and_clear();
    fates.into_inner().map_err(|_| lock_failed())
}

fn fate_of(mutant: &Mutant, suites: &[Suite], folder: &Path) -> Result<Fate> {
    for suite in suites {
        let most = (suite.time * PATIENCE).max(LEAST_PATIENCE);
        match run(&suite.path, folder, mutant.id, most)? {
            Some(true) => {}
            Some(false) => return Ok(Fate::Noticed(suite.name.clone())),
            None => return Ok(Fate::Endless(suite.name.clone())),
        }
    }
    Ok(Fate::Survived)
}
