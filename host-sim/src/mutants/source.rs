//! The files of core that are changed, by what they do.

use std::path::Path;

use anyhow::{Context, Result};

use super::find::{self, Site};

/// What is changed: folders and files of `core/src` by what they do.
const GROUPS: [(&str, &[&str]); 3] = [
    ("judging", &["rules/"]),
    ("applying", &["engine/", "connection/"]),
    ("tables", &["tables/", "connection/list.rs", "connection/pool.rs"]),
];

/// A file to be changed.
pub(crate) struct Source {
    /// From `core/src`.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) sites: Vec<Site>,
}

/// The group a file belongs to; the longest name counts.
pub(crate) fn group_of(file: &str) -> Option<&'static str> {
    let named = GROUPS.iter().flat_map(|(group, parts)| parts.iter().map(move |part| (*group, *part)));
    named.filter(|(_, part)| file.starts_with(part)).max_by_key(|(_, part)| part.len()).map(|(group, _)| group)
}

/// Reads every file to be changed, with its sites.
pub(crate) fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    list(&root.join("core/src"), "", &mut files)?;
    files.sort();
    files.retain(|file| group_of(file).is_some());
    let read = |file: String| {
        let text = std::fs::read_to_string(root.join("core/src").join(&file)).with_context(|| file.clone())?;
        let sites = find::sites(&text).with_context(|| file.clone())?;
        Ok(Source { file, text, sites })
    };
    files.into_iter().map(read).collect()
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), files)?;
        } else if name.ends_with(".rs") {
            files.push(name);
        }
    }
    Ok(())
}
