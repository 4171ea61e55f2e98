//! A copy of the workspace with every mutant compiled in, and its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::mutant::Mutant;
use super::source::Source;
use super::weave::{CHOOSER, weave};

/// Chooses a mutant by its number.
pub(crate) const VARIABLE: &str = "TCP_RESET_CORE_MUTANT";

/// More rounds than this without a mutant that compiles less mean that something else is wrong.
const MOST_ROUNDS: usize = 25;

/// The copy; what cargo builds from it stays beside it, so that the next run compiles no dependency again.
pub(crate) struct Copy {
    root: PathBuf,
    target: PathBuf,
}

/// A test program.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Copy {
    /// Copies what core's tests need of the workspace at `from`.
    pub(crate) fn new(from: &Path, to: &Path) -> Result<Copy> {
        let root = to.join("workspace");
        if root.exists() {
            fs::remove_dir_all(&root).context("removing the copy of the last run")?;
        }
        for file in ["Cargo.lock", "README.md", "rust-toolchain.toml"] {
            fs::create_dir_all(&root)?;
            fs::copy(from.join(file), root.join(file)).with_context(|| file.to_owned())?;
        }
        for folder in ["core/src", "core/tests", "core/fuzz/corpus", "docs"] {
            copy_folder(&from.join(folder), &root.join(folder))?;
        }
        fs::copy(from.join("core/Cargo.toml"), root.join("core/Cargo.toml"))?;
        let mut manifest: toml::Table = fs::read_to_string(from.join("Cargo.toml"))?.parse()?;
        let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut).context("a workspace")?;
        let core = toml::Value::Array(vec!["core".into()]);
        workspace.insert("members".into(), core.clone());
        workspace.insert("default-members".into(), core);
        workspace.remove("exclude");
        fs::write(root.join("Cargo.toml"), toml::to_string(&manifest)?)?;
        Ok(Copy { root, target: to.join("target") })
    }

    /// Writes the mutants into the copy, drops those that do not compile, and builds the tests. Returns the mutants left.
    pub(crate) fn build(&self, sources: &[Source], mutants: Vec<Mutant>) -> Result<(Vec<Mutant>, Vec<Program>)> {
        let mut mutants = mutants;
        self.write_chooser()?;
        for _ in 0..MOST_ROUNDS {
            let woven = self.write(sources, &mutants)?;
            let refused = self.check(&woven)?;
            if refused.is_empty() {
                return Ok((mutants, self.build_tests()?));
            }
            mutants.retain(|mutant| !refused.contains(&mutant.id));
        }
        bail!("mutants that do not compile were found in each of {MOST_ROUNDS} rounds");
    }

    /// The question which mutant is chosen: read once, so that it costs one load.
    fn write_chooser(&self) -> Result<()> {
        let library = self.root.join("core/src/lib.rs");
        let text = fs::read_to_string(&library)?;
        let chooser = format!(
            "\nextern crate std as mutants_std;\npub(crate) mod {CHOOSER} {{\n\
             static CHOSEN: mutants_std::sync::OnceLock<u32> = mutants_std::sync::OnceLock::new();\n\
             #[inline] pub(crate) fn on(id: u32) -> bool {{ *CHOSEN.get_or_init(read) == id }}\n\
             #[cold] fn read() -> u32 {{ mutants_std::env::var(\"{VARIABLE}\").ok().and_then(|n| n.parse().ok()).unwrap_or(0) }}\n\
             use crate::mutants_std;\n}}\n"
        );
        Ok(fs::write(library, text + &chooser)?)
    }

    fn write(&self, sources: &[Source], mutants: &[Mutant]) -> Result<BTreeMap<String, Places>> {
        let mut all = BTreeMap::new();
        for source in sources {
            let here: Vec<&Mutant> = mutants.iter().filter(|mutant| mutant.file == source.file).collect();
            let woven = weave(&source.text, &source.sites, &here);
            fs::write(self.root.join("core/src").join(&source.file), &woven.text)?;
            all.insert(format!("core/src/{}", source.file), woven.places);
        }
        Ok(all)
    }

    fn cargo(&self, arguments: &[&str]) -> Result<(bool, Vec<Value>)> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(arguments)
            .args(["--offline", "--message-format=json", "-p", "tcp-reset-core"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", "--cap-lints=allow")
            .stderr(Stdio::piped())
            .output()
            .context("starting cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
        let has_said_why = messages.iter().any(|message| message["reason"] == "compiler-message");
        ensure!(
            output.status.success() || has_said_why,
            "cargo {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((output.status.success(), messages))
    }

    /// Compiles the library alone. Returns the mutants that the compiler complains about.
    fn check(&self, woven: &BTreeMap<String, Places>) -> Result<BTreeSet<usize>> {
        let (is_built, messages) = self.cargo(&["check", "--lib"])?;
        let mut refused = BTreeSet::new();
        let mut others = Vec::new();
        for message in messages.iter().map(|message| &message["message"]).filter(|message| message["level"] == "error")
        {
            let found = blame(message, woven);
            if found.is_empty() {
                others.push(message["rendered"].as_str().unwrap_or_default());
            }
            refused.extend(found);
        }
        ensure!(is_built || !refused.is_empty(), "the copy does not compile: {}", others.concat());
        Ok(refused)
    }

    fn build_tests(&self) -> Result<Vec<Program>> {
        let (is_built, messages) = self.cargo(&["test", "--no-run", "--lib", "--tests"])?;
        if !is_built {
            let texts = messages.iter().filter_map(|message| message["message"]["rendered"].as_str());
            bail!("the tests of the copy do not compile: {}", texts.collect::<String>());
        }
        let programs = messages.iter().filter_map(|message| {
            let path = message["executable"].as_str()?;
            let name = message["target"]["name"].as_str()?;
            let is_library = message["target"]["kind"][0] == "lib";
            Some(Program { name: if is_library { "lib".into() } else { name.into() }, path: path.into() })
        });
        Ok(programs.collect())
    }

    /// Where the tests run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join("core")
    }
}

type Places = Vec<(usize, Range<usize>, Range<usize>)>;

/// The mutants that an error is about: those whose own code it points to, or else all of the innermost site around it.
fn blame(error: &Value, woven: &BTreeMap<String, Places>) -> Vec<usize> {
    let spans = error["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut blamed = Vec::new();
    for span in spans.iter().filter(|span| span["is_primary"] == true) {
        let Some(places) = span["file_name"].as_str().and_then(|name| woven.get(name)) else { continue };
        let at = |key: &str| span[key].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX);
        let (start, end) = (at("byte_start"), at("byte_end"));
        let is_around = |range: &Range<usize>| range.start <= start && end <= range.end;
        let own = places.iter().filter(|(_, own, _)| is_around(own)).map(|(id, ..)| *id).collect::<Vec<_>>();
        if own.is_empty() {
            let around = places.iter().filter(|(_, _, site)| is_around(site));
            if let Some(innermost) = around.min_by_key(|(_, _, site)| site.len()).map(|(_, _, site)| site.clone()) {
                blamed.extend(places.iter().filter(|(_, _, site)| *site == innermost).map(|(id, ..)| *id));
            }
        }
        blamed.extend(own);
    }
    blamed
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (path, name) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &name)?;
        } else {
            fs::copy(&path, &name)?;
        }
    }
    Ok(())
}
