//! Filters, tests and methods: found by their name, their arguments put to
//! their parameters, and their constant patterns compiled.

use minijinja::machinery::ast;
use model::suggest::nearest;
use serde_json::Value;

use super::{Converter, Names, is, negation, plain_name};
use crate::{
    expr::{
        ExprError,
        tree::{Args, Each, Expr, Pattern},
    },
    filters::{Filter, Method, PatternUse, Spec, Test, compile, compile_glob},
};

impl<'t> Converter<'t> {
    pub(super) fn call(&mut self, call: &ast::Call<'t>, names: &Names) -> Result<Expr, ExprError> {
        match &call.expr {
            ast::Expr::GetAttr(attr) => {
                let of = self.expr(&attr.expr, names)?;
                let Some(spec) = Method::find(attr.name) else {
                    return Err(self.unknown("method", attr.name, Method::names()));
                };
                let args = self.bind(spec, attr.name, &call.args, names)?;
                Ok(Expr::Call(Box::new(of), spec.what, args))
            }
            ast::Expr::Var(var) => {
                let error = self.at(var.id, format!("there is no function `{}`", var.id));
                Err(match var.id {
                    "lookup" | "query" | "q" => {
                        error.hint("lookups belong into the playbook; Lariat never runs them")
                    }
                    id if Filter::find(id).is_some() => {
                        error.hint(format!("write it as a filter: `value | {id}`"))
                    }
                    id if Test::find(id).is_some() => {
                        error.hint(format!("write it as a test: `value is {id}`"))
                    }
                    _ => error.hint("there are filters (`value | name`) and tests (`is name`)"),
                })
            }
            other => Err(Self::at_expr(other, "only methods can be called")),
        }
    }

    pub(super) fn unknown(
        &self,
        what: &str,
        name: &'t str,
        known: impl Iterator<Item = &'static str>,
    ) -> ExprError {
        let error = self.at(name, format!("there is no {what} `{name}`"));
        match nearest(plain_name(name), known) {
            Some(word) => error.hint(format!("did you mean `{word}`?")),
            None => error,
        }
    }

    pub(super) fn filter(
        &mut self,
        of: Expr,
        written: &'t str,
        args: &[ast::CallArg<'t>],
        names: &Names,
    ) -> Result<Expr, ExprError> {
        let (each, body) = match plain_name(written) {
            "map" => (Each::Map, self.map_body(written, args, names)?),
            "select" => (Each::Select, self.test_of(Expr::It, written, args, names)?),
            "reject" => (Each::Reject, self.test_of(Expr::It, written, args, names)?),
            name @ ("selectattr" | "rejectattr") => {
                let (path, rest) = self.item_path(written, args)?;
                let each = if name == "selectattr" {
                    Each::Select
                } else {
                    Each::Reject
                };
                (each, self.test_of(path, written, rest, names)?)
            }
            name => {
                let Some(spec) = Filter::find(name) else {
                    let each = ["map", "select", "reject", "selectattr", "rejectattr"];
                    let known = Filter::names().chain(each);
                    return Err(self.unknown("filter", written, known));
                };
                let mut bound = self.bind(spec, written, args, names)?;
                if let Some(usage) = spec.what.pattern_use() {
                    bound.pattern = self.pattern(&bound, usage, args)?;
                }
                return Ok(Expr::Filter(Box::new(of), spec.what, bound));
            }
        };
        Ok(Expr::Each(each, Box::new(of), Box::new(body)))
    }

    /// `map('upper')` or `map(attribute='a.b', default=0)`.
    fn map_body(
        &mut self,
        written: &'t str,
        args: &[ast::CallArg<'t>],
        names: &Names,
    ) -> Result<Expr, ExprError> {
        let mut attribute = None;
        let mut fallback = None;
        for arg in args {
            match arg {
                ast::CallArg::Kwarg("attribute", value) => attribute = Some(self.path(value)?),
                ast::CallArg::Kwarg("default", value)
                    if !matches!(args.first(), Some(ast::CallArg::Pos(_))) =>
                {
                    fallback = Some(self.expr(value, names)?);
                }
                _ => {}
            }
        }
        let expected = if fallback.is_some() { 2 } else { 1 };
        match (attribute, args.first()) {
            (Some(path), _) if args.len() == expected => Ok(match fallback {
                Some(fallback) => {
                    let args = Args {
                        slots: vec![Some(fallback), None],
                        pattern: None,
                    };
                    Expr::Filter(Box::new(path), Filter::Default, args)
                }
                None => path,
            }),
            (None, Some(ast::CallArg::Pos(name))) => {
                let filter = self.word(name)?;
                let Some(spec) = Filter::find(plain_name(&filter)) else {
                    let error = Self::at_expr(name, format!("there is no filter `{filter}`"));
                    return Err(match nearest(&filter, Filter::names()) {
                        Some(word) => error.hint(format!("did you mean `{word}`?")),
                        None => error,
                    });
                };
                let rest = args.get(1..).unwrap_or_default();
                let mut bound = self.bind(spec, written, rest, names)?;
                if let Some(usage) = spec.what.pattern_use() {
                    bound.pattern = self.pattern(&bound, usage, rest)?;
                }
                Ok(Expr::Filter(Box::new(Expr::It), spec.what, bound))
            }
            _ => Err(self
                .at(written, "`map` needs the name of a filter or an attribute")
                .hint("write `map('upper')` or `map(attribute='name')`")),
        }
    }

    /// The path that the first argument of `selectattr` names, and the others.
    pub(super) fn item_path<'s>(
        &self,
        written: &'t str,
        args: &'s [ast::CallArg<'t>],
    ) -> Result<(Expr, &'s [ast::CallArg<'t>]), ExprError> {
        match args.split_first() {
            Some((ast::CallArg::Pos(key), rest)) => Ok((self.path(key)?, rest)),
            _ => Err(self.at(
                written,
                format!("`{written}` needs the name of an attribute"),
            )),
        }
    }

    fn path(&self, from: &ast::Expr<'t>) -> Result<Expr, ExprError> {
        let mut found = Expr::It;
        for step in self.word(from)?.split('.') {
            if step.is_empty() {
                return Err(Self::at_expr(from, "this is no path of attributes"));
            }
            found = match step.parse::<u32>() {
                Ok(index) => Expr::Item(Box::new(found), Box::new(Expr::Const(index.into()))),
                Err(_) => Expr::Attr(Box::new(found), step.to_owned()),
            };
        }
        Ok(found)
    }

    /// A constant text.
    fn word(&self, from: &ast::Expr<'t>) -> Result<String, ExprError> {
        match from {
            ast::Expr::Const(_) => match self.constant(from)? {
                Value::String(text) => Ok(text),
                _ => Err(Self::at_expr(from, "this must be a text")),
            },
            _ => Err(Self::at_expr(from, "this must be a constant text")),
        }
    }

    /// The test that the first argument names, of `of`; without one, `of`.
    pub(super) fn test_of(
        &mut self,
        of: Expr,
        written: &'t str,
        args: &[ast::CallArg<'t>],
        names: &Names,
    ) -> Result<Expr, ExprError> {
        let Some((first, rest)) = args.split_first() else {
            return Ok(of);
        };
        let ast::CallArg::Pos(name) = first else {
            return Err(self.at(written, format!("`{written}` needs the name of a test")));
        };
        let word = self.word(name)?;
        let (is_not, test) = match word.strip_prefix("not ") {
            Some(test) => (true, test.trim()),
            None => (false, word.as_str()),
        };
        let Some(spec) = Test::find(plain_name(test)) else {
            let error = Self::at_expr(name, format!("there is no test `{test}`"));
            return Err(match nearest(test, Test::names()) {
                Some(word) => error.hint(format!("did you mean `{word}`?")),
                None => error,
            });
        };
        let args = self.bind_pattern(spec, written, rest, names)?;
        let expr = is(of, spec.what, args);
        Ok(if is_not { negation(expr) } else { expr })
    }

    /// The arguments of a test, its pattern compiled when it is constant.
    pub(super) fn bind_pattern(
        &mut self,
        spec: &Spec<Test>,
        written: &'t str,
        args: &[ast::CallArg<'t>],
        names: &Names,
    ) -> Result<Args, ExprError> {
        let mut bound = self.bind(spec, written, args, names)?;
        if let Some(usage) = spec.what.pattern_use() {
            bound.pattern = self.pattern(&bound, usage, args)?;
        }
        Ok(bound)
    }

    /// Puts arguments to their parameters.
    fn bind<T>(
        &mut self,
        spec: &Spec<T>,
        written: &'t str,
        args: &[ast::CallArg<'t>],
        names: &Names,
    ) -> Result<Args, ExprError> {
        let mut slots: Vec<Option<Expr>> = spec.params.iter().map(|_| None).collect();
        let takes = || match spec.params {
            [] => format!("`{}` takes no arguments", spec.name),
            params => format!("`{}` takes {}", spec.name, params.join(", ")),
        };
        for (index, arg) in args.iter().enumerate() {
            let (slot, value) = match arg {
                ast::CallArg::Pos(value) => (index, value),
                ast::CallArg::Kwarg(name, value) => {
                    match spec.params.iter().position(|param| param == name) {
                        Some(slot) => (slot, value),
                        None => {
                            let what = format!("`{}` has no argument `{name}`", spec.name);
                            return Err(self.at(name, what).hint(takes()));
                        }
                    }
                }
                ast::CallArg::PosSplat(value) | ast::CallArg::KwargSplat(value) => {
                    return Err(Self::at_expr(value, "arguments are written one by one"));
                }
            };
            let Some(place) = slots.get_mut(slot) else {
                return Err(Self::at_expr(value, takes()));
            };
            if place.is_some() {
                return Err(Self::at_expr(value, "this argument is there already"));
            }
            *place = Some(self.expr(value, names)?);
        }
        if let Some(missing) = slots.iter().take(spec.required).position(Option::is_none) {
            let what = format!("`{}` needs `{}`", spec.name, spec.params[missing]);
            return Err(self.at(written, what));
        }
        Ok(Args {
            slots,
            pattern: None,
        })
    }

    /// Compiles the pattern when it and its flags are constant.
    fn pattern(
        &self,
        bound: &Args,
        usage: PatternUse,
        args: &[ast::CallArg<'t>],
    ) -> Result<Option<Pattern>, ExprError> {
        let Some(Expr::Const(Value::String(text))) = bound.get(0) else {
            return Ok(None);
        };
        let flag = |slot: usize| match bound.get(slot) {
            None => Some(false),
            Some(Expr::Const(Value::Bool(flag))) => Some(*flag),
            Some(_) => None,
        };
        let compiled = match usage {
            PatternUse::Glob => compile_glob(text),
            PatternUse::Regex {
                ignorecase,
                multiline,
            } => match (flag(ignorecase), flag(multiline)) {
                (Some(ignorecase), Some(multiline)) => compile(text, ignorecase, multiline),
                _ => return Ok(None),
            },
        };
        compiled.map(Some).map_err(|message| {
            let error = match args.first() {
                Some(ast::CallArg::Pos(value) | ast::CallArg::Kwarg(_, value)) => {
                    Self::at_expr(value, message)
                }
                _ => ExprError::new(message, 0, self.text.len()),
            };
            if text.contains("(?=") || text.contains("(?!") || text.contains("(?<") {
                error.hint("look-around and back-references are not supported")
            } else {
                error
            }
        })
    }
}
