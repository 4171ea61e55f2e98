//! A browser without a window, told what to do by its DevTools protocol.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// How long the browser may take for one call.
const PATIENCE: Duration = Duration::from_secs(60);
const SAYS_WHERE: &str = "DevTools listening on ws://";

pub(crate) struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    requests: Vec<String>,
    errors: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with one empty page.
    ///
    /// # Errors
    /// If it is missing, or does not answer.
    pub(crate) fn start() -> Result<Browser> {
        let profile = tempfile::tempdir().context("cannot make a folder for the browser's profile")?;
        let mut child = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args(["--hide-scrollbars", "--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("chromium is missing; install it (as root): apt-get install chromium")?;
        let socket = connect(&mut child);
        let socket = socket.inspect_err(|_| {
            let _ = child.kill();
        })?;
        let mut browser = Browser {
            child,
            socket,
            session: String::new(),
            calls: 0,
            requests: Vec::new(),
            errors: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach)?;
        browser.session = session["sessionId"].as_str().context("the browser names no session")?.to_owned();
        for domain in ["Page", "Network", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method, and takes note of the events that come meanwhile.
    ///
    /// # Errors
    /// What the browser says.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string())).context("the browser does not listen")?;
        loop {
            let answer = self.socket.read().with_context(|| format!("the browser does not answer {method}"))?;
            let Message::Text(text) = answer else { continue };
            let answer: Value = serde_json::from_str(&text).context("the browser speaks no JSON")?;
            if answer["id"] == id {
                return match answer.get("error") {
                    Some(error) => Err(anyhow!("{method}: {error}")),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.errors.push(params["exceptionDetails"].to_string()),
            Some(_) | None => {}
        }
    }

    /// Returns what a script's expression gives.
    ///
    /// # Errors
    /// What it throws.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let result = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }))?;
        match result.get("exceptionDetails") {
            Some(thrown) => bail!("{expression}: {thrown}"),
            None => Ok(result["result"]["value"].clone()),
        }
    }

    /// Returns a picture of the window, as PNG.
    ///
    /// # Errors
    /// What the browser says.
    pub(crate) fn screenshot(&mut self) -> Result<Vec<u8>> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let text = shot["data"].as_str().context("the browser gives no picture")?;
        STANDARD.decode(text).context("the browser's picture is not in base64")
    }

    /// Returns every address that the page has asked for.
    pub(crate) fn requests(&self) -> &[String] {
        &self.requests
    }

    /// Returns what its scripts have thrown.
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }
}

fn connect(child: &mut Child) -> Result<WebSocket<TcpStream>> {
    let said = child.stderr.take().context("the browser says nothing")?;
    let mut lines = BufReader::new(said).lines();
    let at = loop {
        let line = lines.next().context("the browser ends at once")?.context("the browser says nothing to read")?;
        if let Some(at) = line.strip_prefix(SAYS_WHERE) {
            break at.to_owned();
        }
    };
    // A full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    let host = at.split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(host).with_context(|| format!("cannot connect to the browser at {host}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (socket, _) =
        tungstenite::client(format!("ws://{at}"), stream).map_err(|error| anyhow!("the browser: {error}"))?;
    Ok(socket)
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
