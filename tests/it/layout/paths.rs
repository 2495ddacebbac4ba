//! The paths in a file, read from its syntax tree, and in macros from their tokens.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

/// What a file names, defines and imports.
#[derive(Debug, Default)]
pub struct Source {
    /// All paths outside of its tests, including those of its own items and of other packages.
    pub named: Vec<Named>,
    /// The names of the items that it defines.
    pub items: BTreeSet<String>,
    /// The identifiers in its macro calls, which may define items too.
    pub macro_identifiers: BTreeSet<String>,
    /// The macros that it exports.
    pub exported_macros: BTreeSet<String>,
    /// Its modules that are separate files.
    pub children: BTreeSet<String>,
    /// The paths that its `use` lines import, by the name in this file.
    pub imports: BTreeMap<String, Vec<String>>,
    /// The modules of which they import everything.
    pub globs: Vec<Vec<String>>,
}

/// A path in a file.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its segments. The last segment of `use x::*` is the star.
    pub path: Vec<String>,
    pub line: usize,
    /// The inline modules that enclose it.
    pub inside: Vec<String>,
    pub by: By,
}

/// Where a path is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// In a `use` line.
    Use,
    /// In one that re-exports it.
    PublicUse,
    /// Anywhere else.
    Path,
}

impl Source {
    /// Reads the text of a file.
    ///
    /// # Panics
    /// Panics if it is not Rust.
    pub fn read(file: &str, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut reader = Reader::default();
        for item in &syntax.items {
            if !is_test(attributes(item)) {
                reader.source.define(item);
            }
        }
        reader.visit_file(&syntax);
        reader.source
    }

    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Mod(item) if item.content.is_none() => {
                self.children.insert(item.ident.to_string());
                return;
            }
            Item::Mod(item) => &item.ident,
            Item::Macro(item) => {
                let Some(name) = &item.ident else {
                    identifiers(item.mac.tokens.clone(), &mut self.macro_identifiers);
                    return;
                };
                if has_attribute(&item.attrs, "macro_export") {
                    self.exported_macros.insert(name.to_string());
                }
                name
            }
            Item::Use(item) => {
                for leaf in leaves(item) {
                    if let Some(name) = leaf.name {
                        self.imports.insert(name, leaf.path);
                    } else {
                        self.globs.push(leaf.path);
                    }
                }
                return;
            }
            _ => return,
        };
        self.items.insert(name.to_string());
    }
}

/// One import of a `use` line.
struct Leaf {
    path: Vec<String>,
    line: usize,
    /// Its name in this file; `None` for everything in the path.
    name: Option<String>,
}

fn leaves(item: &ItemUse) -> Vec<Leaf> {
    let mut found = Vec::new();
    let line = item.use_token.span.start().line;
    if item.leading_colon.is_none() {
        add_leaves(&item.tree, &mut Vec::new(), line, &mut found);
    }
    found
}

fn add_leaves(tree: &UseTree, before: &mut Vec<String>, line: usize, found: &mut Vec<Leaf>) {
    let (ident, name) = match tree {
        UseTree::Path(tree) => {
            before.push(tree.ident.to_string());
            add_leaves(&tree.tree, before, tree.ident.span().start().line, found);
            before.pop();
            return;
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                add_leaves(tree, before, line, found);
            }
            return;
        }
        UseTree::Glob(_) => {
            found.push(Leaf {
                path: before.clone(),
                line,
                name: None,
            });
            return;
        }
        UseTree::Name(tree) => (&tree.ident, None),
        UseTree::Rename(tree) => (&tree.ident, Some(&tree.rename)),
    };
    let mut path = before.clone();
    // `use x::{self}` is `use x`.
    if ident != "self" {
        path.push(ident.to_string());
    }
    let name = name.map(ToString::to_string).or(path.last().cloned());
    found.push(Leaf {
        path,
        line: ident.span().start().line,
        name,
    });
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn has_attribute(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|of| of.path().is_ident(name))
}

/// Returns whether the item only exists in tests, which may use anything.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        _ => false,
    })
}

/// Collects all identifiers in tokens.
fn identifiers(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Ident(ident) => {
                found.insert(ident.to_string());
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Collects the paths of a file.
#[derive(Default)]
struct Reader {
    source: Source,
    inside: Vec<String>,
}

impl Reader {
    fn name(&mut self, path: Vec<String>, line: usize, by: By) {
        self.source.named.push(Named {
            path,
            line,
            inside: self.inside.clone(),
            by,
        });
    }

    /// Reads the paths in a macro's tokens: identifiers with `::` between them.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let line = ident.span().start().line;
                    let (path, end) = path_at(&tokens, at);
                    at = end;
                    if let Some(path) = path {
                        self.name(path, line, By::Path);
                    }
                    continue;
                }
                // `#[serde(with = "crate::wire::text_form")]`
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if text.starts_with("crate::") && !text.contains(char::is_whitespace) {
                        let path = text.split("::").map(str::to_owned).collect();
                        self.name(path, literal.span().start().line, By::Path);
                    }
                }
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }
}

/// Returns the path that begins with the identifier at this index, if any, and the index after it.
fn path_at(tokens: &[TokenTree], at: usize) -> (Option<Vec<String>>, usize) {
    let is = |index: Option<usize>, character: char| {
        let token = index.and_then(|index| tokens.get(index));
        matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
    };
    let is_joint = |index: usize| match &tokens[index] {
        TokenTree::Punct(punct) => punct.spacing() == Spacing::Joint,
        _ => false,
    };
    let (before, two_before) = (at.checked_sub(1), at.checked_sub(2));
    let mut path = vec![tokens[at].to_string()];
    let mut end = at + 1;
    while is(Some(end), ':') && is_joint(end) && is(Some(end + 1), ':') {
        let Some(TokenTree::Ident(ident)) = tokens.get(end + 2) else {
            break;
        };
        path.push(ident.to_string());
        end += 3;
    }
    let is_member = is(before, '.') && !is(two_before, '.');
    let is_lifetime = is(before, '\'');
    // It continues something that is not an identifier, such as `<T>::`.
    let continues = is(before, ':') && is(two_before, ':');
    let is_variable = is(before, '$') && path[0] != "crate";
    if is(before, '$') {
        path[0].insert(0, '$');
    }
    let begins = !is_member && !is_lifetime && !continues && !is_variable;
    (begins.then_some(path), end)
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let Some((_, items)) = &module.content else {
            return;
        };
        self.inside.push(module.ident.to_string());
        items.iter().for_each(|item| self.visit_item(item));
        self.inside.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let by = match item.vis {
            Visibility::Inherited => By::Use,
            _ => By::PublicUse,
        };
        for leaf in leaves(item) {
            let mut path = leaf.path;
            if leaf.name.is_none() {
                path.push("*".to_owned());
            }
            self.name(path, leaf.line, by);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let is_of_here = path.leading_colon.is_none();
        if let Some(first) = path.segments.first().filter(|_| is_of_here) {
            let line = first.ident.span().start().line;
            let segments = path.segments.iter().map(|of| of.ident.to_string());
            self.name(segments.collect(), line, By::Path);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // The others are documentation and names of attributes.
        if let Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone());
        }
    }

    /// `pub(in super::x)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
