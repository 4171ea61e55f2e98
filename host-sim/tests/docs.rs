//! What the documentation names is there: files it links to, paths, and names of the code.

use std::path::{Path, PathBuf};
use std::{fs, io};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages, by their paths from the root.
fn pages() -> io::Result<Vec<(PathBuf, String)>> {
    let mut paths = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)).to_vec();
    for entry in fs::read_dir(root().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    assert!(paths.len() > 6, "only {} pages", paths.len());
    paths.into_iter().map(|path| Ok((path.clone(), fs::read_to_string(path)?))).collect()
}

/// All sources, one behind the other.
fn sources() -> io::Result<String> {
    let mut text = String::new();
    for folder in ["core/src", "core/tests", "host-sim/src", "host-sim/examples", "firmware/src"] {
        collect(&root().join(folder), &mut text)?;
    }
    Ok(text)
}

fn collect(folder: &Path, text: &mut String) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(path)?;
        }
    }
    Ok(())
}

/// What stands between backticks outside of blocks of code.
fn quoted(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|part| part.lines().flat_map(|line| line.split('`').skip(1).step_by(2))).collect()
}

#[test]
fn every_link_leads_to_a_file() -> io::Result<()> {
    let mut broken = Vec::new();
    for (path, page) in pages()? {
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.contains("://") && !file.is_empty() && !path.with_file_name(file).exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    Ok(())
}

/// A path of a source, seen from the root or from core's sources.
fn is_path(name: &str) -> bool {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let is_file = [".rs", ".toml", ".md"].iter().any(|extension| name.ends_with(extension));
    is_plain && (is_file || name.ends_with('/') || name.contains('/')) && !name.starts_with(['/', '.'])
}

#[test]
fn every_path_is_there() -> io::Result<()> {
    let mut missing = Vec::new();
    for (page, text) in pages()? {
        for name in quoted(&text).into_iter().filter(|name| is_path(name)) {
            if ![root(), root().join("core/src")].iter().any(|base| base.join(name).exists()) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "paths that are not there:\n{}", missing.join("\n"));
    Ok(())
}

/// A name of the code: `Tcp::dispatch`, `rst_not_exact`, `ForConnection`.
fn parts_of_name(name: &str) -> Option<Vec<&str>> {
    let name = name.split(['(', '<', ' ']).next()?;
    let parts: Vec<&str> = name.split("::").collect();
    let is_identifier = |part: &&str| {
        part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && part.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    let is_code = parts.len() > 1 || name.contains('_') || name.chars().filter(char::is_ascii_uppercase).count() > 1;
    let is_shouted = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    (parts.iter().all(is_identifier) && is_code && !is_shouted).then_some(parts)
}

/// Names of other people's crates that the pages speak of.
const FOREIGN: [&str; 13] = [
    "embassy_net",
    "TcpSocket",
    "StackResources",
    "ConnectError",
    "TcpClientState",
    "TcpConnect",
    "ConfigV6",
    "set_config_v6",
    "critical_section",
    "set_hop_limit",
    "set_nagle_enabled",
    "read_with",
    "write_with",
];

#[test]
fn every_name_is_in_the_code() -> io::Result<()> {
    let sources = sources()?;
    let is_there = |part: &&str| {
        sources.match_indices(*part).any(|(at, _)| {
            let around = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
            around(sources[..at].chars().next_back()) && around(sources[at + part.len()..].chars().next())
        })
    };
    let mut missing = Vec::new();
    for (page, text) in pages()? {
        for name in quoted(&text) {
            let Some(parts) = parts_of_name(name) else { continue };
            if !parts.iter().any(|part| FOREIGN.contains(part)) && !parts.iter().all(is_there) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "names that are not in the code:\n{}", missing.join("\n"));
    Ok(())
}

#[test]
fn quoted_words_are_found_and_told_apart() {
    assert_eq!(quoted("a `b` c\n```sh\n`d`\n```\n`e::f` g"), ["b", "e::f"]);
    assert!(is_path("rules/tcb.rs") && is_path("core/") && !is_path("tcp-reset-core") && !is_path("cargo qemu --x"));
    assert_eq!(parts_of_name("Tcp::dispatch"), Some(vec!["Tcp", "dispatch"]));
    assert_eq!(parts_of_name("Table<R>"), None);
    assert_eq!(parts_of_name("keepalive"), None);
    assert_eq!(parts_of_name("DEFMT_LOG"), None);
}
