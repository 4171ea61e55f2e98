//! Which changes a source file admits: found in the syntax tree, applied to the text, so that everything else stays as it is written.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not looked for is most of the syntax, and grows")]

use std::ops::Range;

use anyhow::{Context, Result};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, ImplItemFn, ItemFn, Pat, ReturnType, Signature, Stmt, UnOp};

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Alternative {
    /// What stands in place of the code.
    pub(crate) text: String,
    /// The change in words: `a < b` → `a <= b`.
    pub(crate) change: String,
}

/// How a change is put into the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An expression has another value.
    Expression,
    /// A statement, or an expression without value, is left out.
    Deletion,
    /// The text is put in.
    Insertion,
}

/// A place in a file and what can be changed there.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) range: Range<usize>,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    /// The function around it, with its type.
    pub(crate) function: String,
    pub(crate) alternatives: Vec<Alternative>,
}

/// Finds every site of a file, outer ones before inner ones.
pub(crate) fn sites(source: &str) -> Result<Vec<Site>> {
    let file = syn::parse_file(source).context("parsing")?;
    let mut finder = Finder { source, sites: Vec::new(), owner: String::new(), function: String::new() };
    finder.visit_file(&file);
    let mut sites = finder.sites;
    sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end)));
    Ok(sites)
}

struct Finder<'s> {
    source: &'s str,
    sites: Vec<Site>,
    owner: String,
    function: String,
}

impl Finder<'_> {
    fn text(&self, node: &impl Spanned) -> String {
        self.source[node.span().byte_range()].to_owned()
    }

    fn add(&mut self, node: &impl Spanned, kind: Kind, alternatives: Vec<(String, String)>) {
        if alternatives.is_empty() {
            return;
        }
        let span = node.span();
        self.sites.push(Site {
            range: span.byte_range(),
            kind,
            line: span.start().line,
            function: self.function.clone(),
            alternatives: alternatives.into_iter().map(|(text, change)| Alternative { text, change }).collect(),
        });
    }

    /// The expression becomes one of these.
    fn replace(&mut self, expr: &Expr, by: Vec<String>) {
        let was = one_line(&self.text(expr));
        let alternatives = by.into_iter().map(|text| (text.clone(), format!("{was} → {}", one_line(&text)))).collect();
        self.add(expr, Kind::Expression, alternatives);
    }

    fn delete(&mut self, node: &impl Spanned) {
        let change = format!("delete {}", one_line(&self.text(node)));
        self.add(node, Kind::Deletion, vec![(String::new(), change)]);
    }

    /// The condition is the other way round, if nothing within it says so already.
    fn negate(&mut self, expr: &Expr) {
        let can_be = match expr {
            Expr::MethodCall(_) | Expr::Call(_) | Expr::Path(_) | Expr::Field(_) => true,
            Expr::Macro(call) => call.mac.path.is_ident("matches"),
            _ => false,
        };
        if can_be {
            self.replace(expr, vec![format!("!({})", self.text(expr))]);
        }
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        let before = std::mem::take(&mut self.function);
        self.function = format!("{}{}", self.owner, signature.ident);
        let result = match &signature.output {
            ReturnType::Default => String::new(),
            ReturnType::Type(_, of) => of.to_token_stream().to_string(),
        };
        let returns: &[&str] = match result.as_str() {
            "" => &["return;"],
            "bool" => &["return true;", "return false;"],
            of if of.starts_with("Option <") => &["return None;"],
            _ => &[],
        };
        let open = block.brace_token.span.open();
        let at = open.byte_range().end;
        if !returns.is_empty() && !block.stmts.is_empty() {
            self.sites.push(Site {
                range: at..at,
                kind: Kind::Insertion,
                line: open.start().line,
                function: self.function.clone(),
                alternatives: returns
                    .iter()
                    .map(|text| Alternative { text: (*text).into(), change: format!("body → {text}") })
                    .collect(),
            });
        }
        visit::visit_block(self, block);
        self.function = before;
    }

    fn binary(&mut self, expr: &Expr, binary: &syn::ExprBinary) {
        let others: &[&str] = match binary.op {
            BinOp::Eq(_) => &["!="],
            BinOp::Ne(_) => &["=="],
            // No bare `<`: behind `as u32` it would begin a list of types.
            BinOp::Lt(_) => &["<=", ">="],
            BinOp::Le(_) => &["<", ">"],
            BinOp::Gt(_) => &[">=", "<="],
            BinOp::Ge(_) => &[">", "<"],
            BinOp::And(_) => &["||"],
            BinOp::Or(_) => &["&&"],
            BinOp::Add(_) => &["-"],
            BinOp::Sub(_) => &["+"],
            BinOp::Mul(_) => &["/"],
            BinOp::Div(_) | BinOp::Rem(_) => &["*"],
            BinOp::Shl(_) => &[">>"],
            BinOp::Shr(_) => &["<<"],
            BinOp::BitAnd(_) => &["|"],
            BinOp::BitOr(_) => &["&"],
            BinOp::AddAssign(_) => &["-="],
            BinOp::SubAssign(_) => &["+="],
            BinOp::BitAndAssign(_) => &["|="],
            BinOp::BitOrAssign(_) => &["&="],
            _ => &[],
        };
        let is_assignment = is_assignment(&binary.op);
        let (left, right) = (self.text(&binary.left), self.text(&binary.right));
        if !has_let(expr) {
            let by = others.iter().map(|op| match is_assignment {
                true => format!("{left} {op} {right}"),
                false => format!("({left}) {op} ({right})"),
            });
            self.replace(expr, by.collect());
        }
        if matches!(binary.op, BinOp::And(_) | BinOp::Or(_)) {
            self.negate(&binary.left);
            self.negate(&binary.right);
        }
        if !is_assignment {
            self.visit_expr(&binary.left);
        }
        self.visit_expr(&binary.right);
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last()).map(|part| part.ident.to_string());
        if of.is_some_and(|of| ["Debug", "Display", "Format"].contains(&of.as_str())) {
            return;
        }
        let name = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|part| part.ident.to_string()),
            _ => None,
        };
        let before = std::mem::replace(&mut self.owner, name.map(|name| name + "::").unwrap_or_default());
        visit::visit_item_impl(self, item);
        self.owner = before;
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if item.sig.constness.is_none() && !is_for_tests(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if item.sig.constness.is_none() && !is_for_tests(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    // What is computed while compiling cannot be chosen while running, and patterns hold no expressions.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_generics(&mut self, _: &'ast syn::Generics) {}
    fn visit_path(&mut self, _: &'ast syn::Path) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        match stmt {
            Stmt::Expr(expr, Some(_)) if attributes(expr).is_empty() => {
                let can_go = match expr {
                    Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_) => true,
                    Expr::Binary(binary) => is_assignment(&binary.op),
                    _ => false,
                };
                if can_go {
                    self.delete(stmt);
                }
            }
            Stmt::Expr(expr @ (Expr::Assign(_) | Expr::MethodCall(_) | Expr::Call(_)), None) => self.delete(expr),
            Stmt::Local(local) if local.attrs.is_empty() => {
                let says_whether = match &local.pat {
                    Pat::Ident(name) => {
                        let name = name.ident.to_string();
                        ["is_", "has_", "was_", "had_"].iter().any(|prefix| name.starts_with(prefix))
                    }
                    _ => false,
                };
                if let Some(init) = local.init.as_ref().filter(|_| says_whether) {
                    self.negate(&init.expr);
                }
            }
            _ => {}
        }
        visit::visit_stmt(self, stmt);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.negate(guard);
        }
        let body = &*arm.body;
        match body {
            Expr::Block(_) | Expr::Tuple(_) | Expr::Return(_) | Expr::Continue(_) | Expr::Break(_) => {}
            Expr::Assign(_) => self.delete(body),
            Expr::MethodCall(_) | Expr::Call(_) => {
                self.delete(body);
                self.replace(body, vec!["None".into()]);
            }
            _ => {}
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Binary(binary) => return self.binary(expr, binary),
            Expr::Assign(assign) => return self.visit_expr(&assign.right),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let inner = self.text(&unary.expr);
                self.replace(expr, vec![inner]);
            }
            Expr::If(branch) => self.negate(&branch.cond),
            Expr::While(repeat) => self.negate(&repeat.cond),
            Expr::Lit(literal) => {
                if let syn::Lit::Int(number) = &literal.lit {
                    self.replace(expr, vec![format!("{number} + 1")]);
                } else if let syn::Lit::Bool(value) = &literal.lit {
                    self.replace(expr, vec![format!("{}", !value.value)]);
                }
            }
            Expr::Path(path) => {
                let name = path.path.get_ident().map(ToString::to_string).unwrap_or_default();
                let is_constant = name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                if is_constant {
                    self.replace(expr, vec![format!("{name} + 1")]);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }
}

fn is_assignment(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::MulAssign(_)
            | BinOp::DivAssign(_)
            | BinOp::RemAssign(_)
            | BinOp::BitXorAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::ShlAssign(_)
            | BinOp::ShrAssign(_)
    )
}

/// Whether a chain of conditions binds names: it cannot be put into parentheses.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Whether an item exists under a condition: for tests, or with a feature that the tests are built without.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let is_conditional = |attribute: &syn::Attribute| {
        let condition = attribute.to_token_stream().to_string();
        condition.contains("cfg (test)") || condition.contains("defmt") || condition.contains("not (feature")
    };
    attributes.iter().any(is_conditional)
}

fn attributes(expr: &Expr) -> &[syn::Attribute] {
    match expr {
        Expr::MethodCall(of) => &of.attrs,
        Expr::Call(of) => &of.attrs,
        Expr::Assign(of) => &of.attrs,
        Expr::Binary(of) => &of.attrs,
        _ => &[],
    }
}

/// The code in one line and of bounded length, as it stands in reports.
fn one_line(code: &str) -> String {
    const MOST: usize = 90;
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
