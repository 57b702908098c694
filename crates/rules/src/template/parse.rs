//! Text to the pieces of a template, through minijinja's parser.

use minijinja::{
    machinery::{
        ast::{self, Stmt},
        parse,
    },
    syntax::SyntaxConfig,
};

use super::Node;
use crate::expr::{Converter, ExprError, Names, Place, explain, look_over, tree::Expr};

pub(super) fn nodes(text: &str) -> Result<Vec<Node>, ExprError> {
    if !text.contains('{') {
        return Ok(vec![Node::Text(text.to_owned())]);
    }
    look_over(text, Place::Template)?;
    let syntax = SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .build()
        .expect("the default delimiters are valid");
    let tree = parse(text, "", syntax).map_err(|error| explain(text, Place::Template, &error))?;
    let Stmt::Template(template) = &tree else {
        return Err(ExprError::new("this is no template", 0, text.len()));
    };
    Reader {
        text,
        converter: Converter::new(text),
        names: Names::default(),
    }
    .body(&template.children)
}

struct Reader<'t> {
    text: &'t str,
    converter: Converter<'t>,
    names: Names,
}

impl<'t> Reader<'t> {
    fn expr(&mut self, expr: &ast::Expr<'t>) -> Result<Expr, ExprError> {
        self.converter.expr(expr, &self.names)
    }

    fn body(&mut self, statements: &[Stmt<'t>]) -> Result<Vec<Node>, ExprError> {
        let mut nodes = Vec::with_capacity(statements.len());
        for statement in statements {
            nodes.push(self.statement(statement)?);
        }
        Ok(nodes)
    }

    /// A body whose variables end with it.
    fn scoped(
        &mut self,
        locals: &[String],
        statements: &[Stmt<'t>],
    ) -> Result<Vec<Node>, ExprError> {
        let known = self.names.locals.len();
        self.names.locals.extend_from_slice(locals);
        let nodes = self.body(statements);
        self.names.locals.truncate(known);
        nodes
    }

    fn statement(&mut self, statement: &Stmt<'t>) -> Result<Node, ExprError> {
        let refused = |span: minijinja::machinery::Span, what: &str| {
            let (start, end) = (span.start_offset as usize, span.end_offset as usize);
            Err(ExprError::new(
                format!("templates have no `{what}`"),
                start,
                end.saturating_sub(start),
            )
            .hint("there are `{{ … }}`, `{% if %}`, `{% for %}`, `{% set %}`, `{% with %}`"))
        };
        Ok(match statement {
            Stmt::EmitRaw(raw) => Node::Text(raw.raw.to_owned()),
            Stmt::EmitExpr(emit) => Node::Emit(self.expr(&emit.expr)?),
            Stmt::IfCond(choice) => Node::If {
                test: self.expr(&choice.expr)?,
                yes: self.body(&choice.true_body)?,
                no: self.body(&choice.false_body)?,
            },
            Stmt::ForLoop(repeat) => {
                if repeat.recursive {
                    return refused(repeat.span(), "recursive");
                }
                let targets = self.targets(&repeat.target)?;
                let items = self.expr(&repeat.iter)?;
                let mut locals = targets.clone();
                let filter = match &repeat.filter_expr {
                    Some(filter) => {
                        let known = self.names.locals.len();
                        self.names.locals.extend_from_slice(&locals);
                        let filter = self.expr(filter);
                        self.names.locals.truncate(known);
                        Some(filter?)
                    }
                    None => None,
                };
                locals.push("loop".to_owned());
                Node::For {
                    targets,
                    items,
                    filter,
                    body: self.scoped(&locals, &repeat.body)?,
                    otherwise: self.scoped(&[], &repeat.else_body)?,
                }
            }
            Stmt::Set(set) => {
                let value = self.expr(&set.expr)?;
                let name = self.target(&set.target)?;
                self.names.locals.push(name.clone());
                Node::Set { name, value }
            }
            Stmt::WithBlock(with) => {
                let mut values = Vec::with_capacity(with.assignments.len());
                for (target, value) in &with.assignments {
                    let value = self.expr(value)?;
                    values.push((self.target(target)?, value));
                }
                let locals: Vec<String> = values.iter().map(|(name, _)| name.clone()).collect();
                Node::With {
                    values,
                    body: self.scoped(&locals, &with.body)?,
                }
            }
            Stmt::SetBlock(block) => return refused(block.span(), "set … endset"),
            Stmt::AutoEscape(block) => return refused(block.span(), "autoescape"),
            Stmt::FilterBlock(block) => return refused(block.span(), "filter"),
            Stmt::Do(block) => return refused(block.span(), "do"),
            _ => {
                return Err(ExprError::new(
                    "templates have no `block`, `include`, `import`, `extends` or `macro`",
                    0,
                    self.text.len(),
                ));
            }
        })
    }

    /// One variable that is set.
    fn target(&self, target: &ast::Expr<'t>) -> Result<String, ExprError> {
        let span = target.span();
        let (start, end) = (span.start_offset as usize, span.end_offset as usize);
        match target {
            ast::Expr::Var(var) if crate::expr::tree::Name::from_word(var.id).is_none() => {
                Ok(var.id.to_owned())
            }
            ast::Expr::Var(var) => Err(ExprError::new(
                format!("`{}` cannot be set: it is the rule's own", var.id),
                start,
                end.saturating_sub(start),
            )),
            _ => Err(ExprError::new(
                "only a variable can be set",
                start,
                end.saturating_sub(start),
            )),
        }
    }

    /// The variables of a `for`: one, or several that take an item apart.
    fn targets(&self, target: &ast::Expr<'t>) -> Result<Vec<String>, ExprError> {
        match target {
            ast::Expr::List(list) => list.items.iter().map(|item| self.target(item)).collect(),
            one => Ok(vec![self.target(one)?]),
        }
    }
}
