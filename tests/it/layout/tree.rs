//! Which file uses which: each path in a file is resolved to the file that defines the item.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use petgraph::Graph;
use petgraph::algo::kosaraju_scc;

use super::paths::{By, Named, Source};

/// The root of a path: a package with a library and a program has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    Library,
    Program,
}

/// A path from a root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FromRoot(Root, Vec<String>);

impl FromRoot {
    fn join(mut self, more: &[String]) -> Self {
        self.1.extend_from_slice(more);
        self
    }
}

/// The files of a package.
pub struct Tree {
    /// The files by their paths in `src`.
    files: BTreeMap<String, Source>,
    modules: BTreeMap<FromRoot, String>,
}

/// A dependency: one file uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    pub line: usize,
    /// The path as it is written in the file.
    pub path: String,
}

impl Arrow {
    /// Returns whether it is in a macro, which is expanded in other files.
    fn is_of_macro(&self) -> bool {
        self.path.starts_with('$')
    }
}

/// The most `use` lines that are followed to resolve a path.
const MOST_IMPORTS: usize = 16;

impl Tree {
    /// Returns the tree of these files, given as path in `src` and text.
    pub fn new<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let read = files
            .into_iter()
            .map(|(file, text)| (file.to_owned(), Source::read(file, text)));
        let files: BTreeMap<String, Source> = read.collect();
        let program = files.get("main.rs").map(|main| &main.children);
        let roots = files.keys().map(|file| {
            let is_of_program = file == "main.rs"
                || program
                    .is_some_and(|children| children.contains(unit(file).trim_end_matches(".rs")));
            let root = if is_of_program {
                Root::Program
            } else {
                Root::Library
            };
            (FromRoot(root, module_of(file)), file.clone())
        });
        let modules = roots.collect();
        Self { files, modules }
    }

    /// Returns the tree of a folder.
    pub fn of_folder(folder: &Path) -> Self {
        let mut texts = Vec::new();
        read_folder(folder, folder, &mut texts);
        Self::new(texts.iter().map(|(file, text)| (&file[..], &text[..])))
    }

    /// Returns the folders of `src` and the files directly in it.
    pub fn units(&self) -> BTreeSet<&str> {
        self.files.keys().map(|file| unit(file)).collect()
    }

    /// Returns the dependencies. A folder that declares its files and re-exports their items does
    /// not thereby use them.
    pub fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (here, file) in &self.modules {
            for named in &self.files[file].named {
                let Some(to) = self.file_named(here, named) else {
                    continue;
                };
                if to != *file {
                    arrows.insert(Arrow {
                        from: file.clone(),
                        to,
                        line: named.line,
                        path: named.path.join("::"),
                    });
                }
            }
        }
        // The first line of each dependency suffices.
        let mut seen = BTreeSet::new();
        arrows.retain(|arrow| {
            seen.insert((arrow.from.clone(), arrow.to.clone(), arrow.is_of_macro()))
        });
        arrows
    }

    /// Returns the file that defines what is named in the file of this module; `None` if it is in
    /// another package.
    fn file_named(&self, here: &FromRoot, named: &Named) -> Option<String> {
        let target = self.absolute(here, named, MOST_IMPORTS)?;
        let module = self.defining_module(&target, MOST_IMPORTS)?;
        let is_re_export =
            named.by == By::PublicUse && module.0 == here.0 && module.1.starts_with(&here.1);
        (!is_re_export).then(|| self.modules[&module].clone())
    }

    /// Returns the absolute form of a path in the file of a module; `None` for paths of other
    /// packages.
    fn absolute(&self, here: &FromRoot, named: &Named, imports: usize) -> Option<FromRoot> {
        let FromRoot(root, module) = here;
        let mut base = [&module[..], &named.inside[..]].concat();
        let path = &named.path[..];
        let (first, rest) = path.split_first()?;
        match &first[..] {
            "crate" | "$crate" => return Some(FromRoot(*root, rest.to_vec())),
            "cc_lb_fuzz" => return Some(FromRoot(Root::Library, rest.to_vec())),
            "self" | "super" => {
                let levels = path
                    .iter()
                    .take_while(|segment| *segment == "self" || *segment == "super");
                let levels: Vec<_> = levels.collect();
                let up = levels.iter().filter(|segment| **segment == "super").count();
                base.truncate(base.len().checked_sub(up)?);
                return Some(FromRoot(*root, base).join(&path[levels.len()..]));
            }
            _ => {}
        }
        let child = FromRoot(*root, base).join(&path[..1]);
        // A single identifier outside of a `use` line is not a module.
        let may_be_module = named.by != By::Path || !rest.is_empty();
        if may_be_module && self.modules.contains_key(&child) {
            return Some(child.join(rest));
        }
        if !named.inside.is_empty() {
            // Inline modules have their own `use` lines, which are read separately.
            return None;
        }
        let import = self.import(here, first, imports)?;
        Some(import.join(rest))
    }

    /// Returns the absolute path of a name that a `use` line imports into the file of a module.
    fn import(&self, here: &FromRoot, name: &str, imports: usize) -> Option<FromRoot> {
        let path = self.files[&self.modules[here]].imports.get(name)?;
        let named = Named {
            path: path.clone(),
            line: 0,
            inside: Vec::new(),
            by: By::Use,
        };
        // `use wat;` imports another package under its own name.
        let is_itself = path[0] == name;
        let imports = imports.checked_sub(1).filter(|_| !is_itself);
        match imports {
            Some(imports) => self.absolute(here, &named, imports),
            None => {
                let child = here.clone().join(&path[..1]);
                self.modules
                    .contains_key(&child)
                    .then(|| child.join(&path[1..]))
            }
        }
    }

    /// Returns the module whose file defines the item at this path.
    fn defining_module(&self, path: &FromRoot, imports: usize) -> Option<FromRoot> {
        let FromRoot(root, names) = path;
        let modules = (0..=names.len()).map(|length| FromRoot(*root, names[..length].to_vec()));
        let module = modules
            .take_while(|module| self.modules.contains_key(module))
            .last()?;
        let rest = &names[module.1.len()..];
        let source = &self.files[&self.modules[&module]];
        let Some(name) = rest.first().filter(|name| !source.items.contains(*name)) else {
            return Some(module);
        };
        if module.1.is_empty() {
            let mut all = self.modules.iter();
            let of_macro = all.find(|(_, file)| self.files[*file].exported_macros.contains(name));
            if let Some((module, _)) = of_macro {
                return Some(module.clone());
            }
        }
        let left = imports.checked_sub(1)?;
        if let Some(import) = self.import(&module, name, left) {
            let onwards = import.join(&rest[1..]);
            if onwards != *path {
                return self.defining_module(&onwards, left);
            }
        }
        let of_glob = source.globs.iter().find_map(|glob| {
            let named = Named {
                path: glob.clone(),
                line: 0,
                inside: Vec::new(),
                by: By::Use,
            };
            let glob = self.absolute(&module, &named, left)?;
            let file = &self.files[self.modules.get(&glob)?];
            let has = file.items.contains(name) || file.macro_identifiers.contains(name);
            has.then_some(glob)
        });
        // A macro of this file may define it too.
        Some(of_glob.unwrap_or(module))
    }
}

/// Returns the unit of the order that a file belongs to: its folder, or the file itself if it has
/// none.
pub fn unit(file: &str) -> &str {
    file.split_once('/').map_or(file, |(folder, _)| folder)
}

fn module_of(file: &str) -> Vec<String> {
    let segments = file.trim_end_matches(".rs").split('/');
    let mut segments: Vec<String> = segments.map(str::to_owned).collect();
    let is_folder = segments.last().is_some_and(|last| last == "mod");
    if is_folder || segments == ["lib"] || segments == ["main"] {
        segments.pop();
    }
    segments
}

fn read_folder(root: &Path, folder: &Path, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            read_folder(root, &path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).expect("the file is in the folder");
            let text = std::fs::read_to_string(&path).expect("the file is text");
            texts.push((file.to_str().expect("the path is UTF-8").to_owned(), text));
        }
    }
}

/// Returns a message for each arrow to a later unit of this order, which says what to do about it.
pub fn back_arrows(arrows: &BTreeSet<Arrow>, order: &[&str]) -> Vec<String> {
    let position = |file: &str| order.iter().position(|name| *name == unit(file));
    let back = arrows
        .iter()
        .filter(|arrow| position(&arrow.from) < position(&arrow.to));
    let messages = back.map(|arrow| {
        let Arrow { from, to, line, path } = arrow;
        let (unit_from, unit_to) = (unit(from), unit(to));
        format!(
            "src/{from}:{line}: `{path}` is in src/{to}, and {unit_to} comes after {unit_from}. Move the item to \
             {unit_from} or before, or its user to {unit_to} or after."
        )
    });
    messages.collect()
}

/// Returns a message for each cycle of two or more files, with its arrows and what to do about it.
pub fn cycles(arrows: &BTreeSet<Arrow>) -> Vec<String> {
    // The expansion of a macro belongs to the file that calls it, and that file names the macro.
    let arrows: Vec<&Arrow> = arrows.iter().filter(|arrow| !arrow.is_of_macro()).collect();
    let mut graph = Graph::<&str, ()>::new();
    let mut nodes = BTreeMap::new();
    for arrow in &arrows {
        let [from, to] = [&arrow.from, &arrow.to].map(|file| {
            *nodes
                .entry(&file[..])
                .or_insert_with(|| graph.add_node(file))
        });
        graph.update_edge(from, to, ());
    }
    let cycles = kosaraju_scc(&graph)
        .into_iter()
        .filter(|cycle| cycle.len() > 1);
    let messages = cycles.map(|cycle| {
        let files: BTreeSet<&str> = cycle.into_iter().map(|node| graph[node]).collect();
        let is_of_it = |arrow: &&&Arrow| {
            files.contains(&arrow.from[..]) && files.contains(&arrow.to[..])
        };
        let lines = arrows.iter().filter(is_of_it).map(|arrow| {
            let Arrow { from, to, line, path } = arrow;
            format!("\n  src/{from}:{line}: `{path}` is in src/{to}")
        });
        let lines: String = lines.collect();
        format!(
            "These {} files use each other. Move what both sides need to a separate file, or merge them.{lines}",
            files.len()
        )
    });
    messages.collect()
}
