//! The layers of the crates: nothing imports upwards, and nothing imports in a circle, neither files nor folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

/// Core's modules from the bottom up; what stands on one line may not import each other either.
const LAYERS: [&[&str]; 12] = [
    &["time", "size", "id"],
    &["wire"],
    &["config"],
    &["rules"],
    &["keyed", "counters", "error"],
    &["connection"],
    &["tables"],
    &["engine"],
    &["link"],
    &["embassy"],
    &["format"],
    &["lib"],
];

/// From a module to the modules that it imports from. A module's name is its path within the crate: `rules::tcb`.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn core_imports_only_from_layers_below() {
    let imports = imports_of("core/src");
    let layer = |module: &str| {
        let top = top_of(module);
        let found = LAYERS.iter().position(|layer| layer.contains(&top));
        found.unwrap_or_else(|| panic!("`{top}` has no layer in {}", file!()))
    };
    let mut upwards = Vec::new();
    for (module, imported) in &imports {
        for other in imported.iter().filter(|other| top_of(other) != top_of(module)) {
            if layer(other) >= layer(module) {
                upwards.push(format!("{module} imports from {other}"));
            }
        }
    }
    assert!(upwards.is_empty(), "imports that do not go down:\n{}", upwards.join("\n"));
    let unused: Vec<_> =
        LAYERS.concat().into_iter().filter(|top| !imports.keys().any(|module| top_of(module) == *top)).collect();
    assert!(unused.is_empty(), "layers without a module: {unused:?}");
}

/// What Embassy's next version may change is known to few files, and the documentation says to which.
#[test]
fn files_that_know_embassy_net_or_smoltcp_are_those_the_documentation_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_to_string(root.join("docs/embassy.md")).expect("docs/embassy.md");
    let (_, docs) = docs.split_once("## When Embassy moves").expect("its section");
    let named: BTreeSet<String> = docs.split('`').filter(|word| word.ends_with(".rs")).map(str::to_owned).collect();
    let mut files = BTreeMap::new();
    read(&root.join("core/src"), "", &mut files);
    let is_foreign =
        |line: &str| ["smoltcp::", "embassy_net::", "embassy_net_driver::"].iter().any(|n| line.contains(n));
    let knowing = files.iter().filter(|(_, text)| without_tests(text).lines().map(without_comment).any(is_foreign));
    let knowing: BTreeSet<String> =
        knowing.map(|(module, _)| format!("core/src/{}.rs", module.replace("::", "/"))).collect();
    assert_eq!(knowing, named);
}

#[test]
fn no_crate_imports_in_a_circle() {
    let mut circles = Vec::new();
    for folder in ["core/src", "firmware/src", "host-sim/src"] {
        let imports = imports_of(folder);
        assert!(imports.len() > 10, "{folder} has only {} modules", imports.len());
        for imports in [&folders(&imports), &imports] {
            circles.extend(circles_in(imports).iter().map(|circle| format!("{folder}: {}", circle.join(", "))));
        }
    }
    assert!(circles.is_empty(), "what imports in a circle:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_and_an_import_are_found() {
    let modules = BTreeSet::from(["a".to_owned(), "b".to_owned(), "b::c".to_owned(), "lib".to_owned()]);
    let text = "use crate::b::{self, c::{X, Y as Z}};\nfn f() { crate::a::g(); super::h() } // crate::zzz\n#[cfg(test)]\nmod tests { use crate::b::X; }";
    let found = |text, module| imported_by(text, module, &modules).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(found(text, "b::c"), "a b");
    assert_eq!(found(text, "a"), "b b::c lib");
    assert_eq!(found("fn f() { c::g(); x::c::h() }", "b"), "b::c");
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let round = Imports::from([edge("a", "b"), edge("b", "b::c"), edge("b::c", "a"), edge("lib", "a")]);
    assert_eq!(circles_in(&round).iter().map(Vec::len).collect::<Vec<_>>(), [3]);
    assert!(circles_in(&Imports::from([edge("a", "b"), edge("b", "b::c")])).is_empty());
}

fn top_of(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Reads every file of a crate but its tests.
fn imports_of(folder: &str) -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut files = BTreeMap::new();
    read(&root, "", &mut files);
    let modules: BTreeSet<String> = files.keys().cloned().collect();
    files.iter().map(|(module, text)| (module.clone(), imported_by(text, module, &modules))).collect()
}

fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            // Programs of their own, which import from the crate by its name.
            if name != "bin" {
                read(&path, &format!("{prefix}{name}::"), files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            let module =
                if name == "mod" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{name}") };
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.insert(module, text);
        }
    }
}

/// The modules that a module's text names by a path, in `use` or elsewhere.
fn imported_by(text: &str, module: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let code: String = without_tests(text).lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for at in path_starts(&code) {
        found.extend(paths_at(&code[at..]).iter().filter_map(|path| resolve(path, module, modules)));
    }
    found.remove(module);
    found
}

/// Where a path begins that may lead to a module of the crate: by `crate`, `super` or `self`, or by the name of a module below.
fn path_starts(code: &str) -> impl Iterator<Item = usize> {
    code.match_indices("::").filter_map(|(end, _)| {
        let name = code[..end].rsplit(|c: char| !is_in_name(c)).next().filter(|name| !name.is_empty())?;
        let at = end - name.len();
        let is_first = !code[..at].ends_with(['.', '$']) && !code[..at].ends_with("::");
        is_first.then_some(at)
    })
}

fn is_in_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A file's tests stand at its end.
fn without_tests(text: &str) -> &str {
    let is_module = |at: &usize| text[*at..].trim_start_matches("#[cfg(test)]").trim_start().starts_with("mod ");
    let at = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_module);
    &text[..at.unwrap_or(text.len())]
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The paths that begin here: one, or as many as its braces have.
fn paths_at(code: &str) -> Vec<String> {
    let plain: String = code.chars().take_while(|c| is_in_name(*c) || *c == ':').collect();
    let rest = &code[plain.len()..];
    if !plain.ends_with("::") || !rest.starts_with('{') {
        return vec![plain];
    }
    let mut paths = Vec::new();
    let (mut depth, mut begin) = (0, 1);
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || (c == '}' && depth == 0) {
            paths.extend(paths_at(rest[begin..at].trim()).into_iter().map(|tail| format!("{plain}{tail}")));
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    paths
}

/// The module that a path's longest beginning names; the crate's root where it names none.
fn resolve(path: &str, module: &str, modules: &BTreeSet<String>) -> Option<String> {
    let is_root = module == "lib" || module == "main";
    let mut base: Vec<&str> = if is_root { Vec::new() } else { module.split("::").collect() };
    let mut segments = path.split("::").filter(|segment| !segment.is_empty()).peekable();
    match *segments.peek()? {
        "crate" => base.clear(),
        "super" | "self" => {}
        child => {
            let is_child = modules.contains(&base.iter().copied().chain([child]).collect::<Vec<_>>().join("::"));
            if !is_child {
                return None;
            }
        }
    }
    for segment in segments {
        match segment {
            "super" => _ = base.pop(),
            "crate" | "self" => {}
            name => base.push(name),
        }
    }
    while !base.is_empty() && !modules.contains(&base.join("::")) {
        base.pop();
    }
    Some(if base.is_empty() { "lib".to_owned() } else { base.join("::") }).filter(|found| modules.contains(found))
}

/// The same between the folders at the crate's root, each with all that is in it; a file there is a folder of its own.
fn folders(imports: &Imports) -> Imports {
    let mut between = Imports::new();
    for (module, imported) in imports {
        let others = imported.iter().map(|other| top_of(other)).filter(|top| *top != top_of(module));
        between.entry(top_of(module).to_owned()).or_default().extend(others.map(str::to_owned));
    }
    between
}

fn circles_in(imports: &Imports) -> Vec<Vec<&str>> {
    let edges = imports.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.as_str(), to.as_str())));
    let mut components = tarjan_scc(&DiGraphMap::<&str, ()>::from_edges(edges));
    components.retain(|component| component.len() > 1);
    components
}
