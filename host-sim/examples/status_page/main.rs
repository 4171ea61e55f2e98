//! Judges the board's status page in a real browser, Debian's `chromium` without a window: layout, contrast, refresh, and that it asks nobody else.
//!
//! ```sh
//! cargo build -p host-sim --features firmware --example status_page
//! cargo qemu --status-from 10.69.0.0/24 --exec 'target/debug/examples/status_page http://10.69.0.2/ --screenshots target'
//! ```
//!
//! `docs/status-page.png` is `status-1280-light.png` of such a run, with an echo connection over each family.

mod browser;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use browser::Browser;
use clap::Parser;
use serde_json::json;

/// A telephone's width and a desk's, in pixels, and how high a screenshot is.
const SIZES: [(u32, u32); 2] = [(360, 1_500), (1_280, 900)];
const SCHEMES: [&str; 2] = ["light", "dark"];
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the page asks, and how often it is seen to.
const TURNS: usize = 3;

const JUDGE: &str = include_str!("judge.js");
/// The sum of the background's three colours, 255 each at most.
const BRIGHTNESS: &str =
    "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((sum, colour) => sum + colour)";
const IS_THERE: &str = "document.querySelector('#slots td') !== null";
/// From the next answer on the page shows what it would after a reset that has lost peers.
const AFTER_RESET: &str = "{ const showAsItIs = show, pair = { local: '[fd10:69::54:43ff:fe50:3]:7', remote: '[fd10:69::1]:54321', probes: 2 }; \
    show = s => showAsItIs({ ...s, lost_peers: 4, lost_peers_told: 1, lost_peers_gone: 1, lost_peers_given_up: 1, \
    lost_peers_forgotten: 1, journal_ignored: 12, lost_peer_records: [{ ...pair, fate: 'had_no_connection_any_more' }, { ...pair, fate: null }] }) }";
const ARE_LOST_THERE: &str = "document.getElementById('lost') !== null";
const UPTIME: &str = "document.querySelector('#board dd').textContent";
const NEWS: &str = "document.getElementById('news').className + '|' + document.getElementById('news').textContent";

/// Judges the status page in a browser.
#[derive(Parser)]
struct Arguments {
    /// Where the page is
    url: String,
    /// Leave a screenshot for each width and colour scheme there
    #[arg(long, value_name = "FOLDER")]
    screenshots: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut browser = Browser::start()?;
    browser.call("Page.navigate", json!({ "url": arguments.url }))?;
    wait(&mut browser, "the page shows nothing", IS_THERE, |shown| shown == true)?;
    browser.evaluate(AFTER_RESET)?;
    wait(&mut browser, "the page shows no lost peers", ARE_LOST_THERE, |shown| shown == true)?;
    for (width, height) in SIZES {
        for scheme in SCHEMES {
            judge(&mut browser, width, height, scheme, arguments.screenshots.as_deref())?;
        }
    }
    tells_of_lost_peers(&mut browser)?;
    refreshes(&mut browser)?;
    tells_silence(&mut browser)?;
    asks_nobody_else(&mut browser, &arguments.url)?;
    println!("the status page holds at {SIZES:?} px, light and dark, and refreshes");
    Ok(())
}

/// Asks the page until the answer is right.
fn wait(
    browser: &mut Browser,
    what: &str,
    expression: &str,
    is_right: impl Fn(&serde_json::Value) -> bool,
) -> Result<serde_json::Value> {
    let began = Instant::now();
    loop {
        let value = browser.evaluate(expression)?;
        if is_right(&value) {
            return Ok(value);
        }
        ensure!(began.elapsed() < PATIENCE, "{what}: {value}");
        thread::sleep(POLL_INTERVAL);
    }
}

fn judge(
    browser: &mut Browser,
    width: u32,
    height: u32,
    scheme: &str,
    screenshots: Option<&std::path::Path>,
) -> Result<()> {
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
    browser.call("Emulation.setDeviceMetricsOverride", metrics)?;
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.call("Emulation.setEmulatedMedia", features)?;
    let faults = browser.evaluate(JUDGE)?;
    let faults = faults.as_array().context("the page was not judged")?;
    ensure!(faults.is_empty(), "at {width} px, {scheme}: {faults:#?}");
    let brightness = browser.evaluate(BRIGHTNESS)?;
    let is_light = brightness.as_u64().context("the page has no background")? > 3 * 128;
    ensure!(is_light == (scheme == "light"), "{scheme} is on a background of {brightness}");
    if let Some(folder) = screenshots {
        let path = folder.join(format!("status-{width}-{scheme}.png"));
        fs::write(&path, browser.screenshot()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What the board would say after a reset, in the words of its log; shown to the narrowest reader.
fn tells_of_lost_peers(browser: &mut Browser) -> Result<()> {
    let cases = [
        ("3, 0, 0, 0, 0", "told 3 of 4 peers after the last restart"),
        (
            "0, 1, 2, 1, 5",
            "told 0 of 4 peers after the last restart, 1 gone, 2 given up, 1 forgotten, 5 records ignored",
        ),
        ("null, null, null, null, 0", "4 peers of the time before are being told"),
    ];
    for (values, sentence) in cases {
        let summary = format!(
            "(([lost_peers_told, lost_peers_gone, lost_peers_given_up, lost_peers_forgotten, journal_ignored]) => \
             summary({{ lost_peers: 4, lost_peers_told, lost_peers_gone, lost_peers_given_up, lost_peers_forgotten, \
             journal_ignored }}))([{values}])"
        );
        let said = browser.evaluate(&summary)?;
        ensure!(said == sentence, "the page says {said}, not \"{sentence}\"");
    }
    Ok(())
}

/// By itself, and without loading the page again.
fn refreshes(browser: &mut Browser) -> Result<()> {
    browser.evaluate("window.isTheSame = true")?;
    let mut last = browser.evaluate(UPTIME)?;
    for _ in 0..TURNS {
        last = wait(browser, "the page does not refresh", UPTIME, |shown| *shown != last)?;
    }
    ensure!(browser.evaluate("window.isTheSame")? == true, "the page was loaded again");
    let errors = browser.errors();
    ensure!(errors.is_empty(), "the page's script failed: {errors:?}");
    Ok(())
}

/// A board that does not answer is said to be silent, and one that does again to be live.
fn tells_silence(browser: &mut Browser) -> Result<()> {
    for (is_offline, begins) in [(true, "bad|No answer since "), (false, "|Live")] {
        let conditions =
            json!({ "offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        browser.call("Network.emulateNetworkConditions", conditions)?;
        let is_told = |news: &serde_json::Value| news.as_str().is_some_and(|news| news.starts_with(begins));
        wait(browser, "the page does not tell whether it is live", NEWS, is_told)?;
    }
    Ok(())
}

fn asks_nobody_else(browser: &mut Browser, url: &str) -> Result<()> {
    let asked = browser.requests();
    let status = format!("{url}status.json");
    let others: Vec<_> = asked.iter().filter(|asked| **asked != url && **asked != status).collect();
    ensure!(others.iter().all(|asked| asked.starts_with("data:")), "the page asks for {others:?}");
    ensure!(asked.iter().filter(|asked| **asked == status).count() > TURNS, "the page asked for {asked:?}");
    ensure!(asked.iter().filter(|asked| **asked == url).count() == 1, "the page was fetched more than once: {asked:?}");
    Ok(())
}
