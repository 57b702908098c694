//! `GET /api/v1/openapi.json`: the interface, as OpenAPI 3.1.
//!
//! The document is made of three things: the table of routes says what there
//! is and for whom, `operations.rs` what each takes and answers, and the types
//! of `json` how that looks. Tests hold the three together, and hold what the
//! service really answers against them. Pages are not in it.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::token::Role;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    app::Shared,
    gate::Door,
    json,
    problem::{Answer, ProblemCode},
    query::Params,
    routes::{ROUTES, Route},
};

use self::operations::{Body, Operation};

mod operations;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let text = serde_json::to_vec(&document()).expect("it is made of strings and lists");
    Bytes::from(text)
});

pub(crate) async fn show(app: Shared, uri: Uri) -> Answer<Response> {
    Params::new(&uri, &[], app.now()).finish()?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::OK, kind, DOCUMENT.clone()).into_response())
}

/// Schemas that were used so far; they end below `components`.
pub(crate) struct Schemas(SchemaGenerator);

impl Schemas {
    /// Where the schema of a type stands.
    pub(crate) fn of<T: schemars::JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.contract = schemars::generate::Contract::Serialize;
    });
    let mut schemas = Schemas(settings.into_generator());
    let problem = schemas.of::<json::Problem>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        if let Some(operation) = operations::find(route.operation, &mut schemas) {
            let described = described(route, operation);
            let methods = paths.entry(route.path).or_default();
            methods.insert(route.method.to_owned(), described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lariat",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Event-driven automation: events arrive, rules match, playbooks and commands run.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `lariat token create`. Without any token in its store the service is open to its own machine.",
                },
            },
            "responses": {
                "Problem": {
                    "description": "What is wrong, as RFC 9457 writes it.",
                    "content": {"application/problem+json": {"schema": problem}},
                },
            },
            "schemas": schemas.0.take_definitions(true),
        },
    })
}

fn described(route: &Route, operation: Operation) -> Value {
    let statuses = problems(route, &operation);
    let Operation {
        tag,
        summary,
        parameters,
        body,
        answers,
        codes: _,
    } = operation;
    let mut all: Vec<Value> = Vec::new();
    if route.path.contains("{id}") {
        all.push(json!({
            "name": "id", "in": "path", "required": true, "schema": {"type": "string"},
        }));
    }
    all.extend(parameters.into_iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": parameter.place,
            "required": false,
            "description": parameter.text,
            "schema": parameter.schema,
        })
    }));
    let mut responses = Map::new();
    for answer in answers {
        let mut response = json!({"description": answer.text});
        if !answer.content.is_empty() {
            response["content"] = content(answer.content);
        }
        if !answer.headers.is_empty() {
            let headers = answer.headers.iter().map(|(name, schema)| {
                let header = json!({"schema": schema, "required": true});
                ((*name).to_owned(), header)
            });
            response["headers"] = Value::Object(headers.collect());
        }
        responses.insert(answer.status.to_string(), response);
    }
    for status in statuses {
        let reference = json!({"$ref": "#/components/responses/Problem"});
        responses.entry(status.to_string()).or_insert(reference);
    }
    let mut described = json!({
        "operationId": route.operation,
        "tags": [tag],
        "summary": summary,
        "parameters": all,
        "responses": responses,
    });
    match route.door {
        Door::Role(role) => {
            described["description"] = json!(format!("Needs the role `{role}`."));
            described["x-lariat-role"] = json!(role);
        }
        Door::Unlocked | Door::Page => described["security"] = json!([]),
    }
    match body {
        Body::None => {}
        Body::Nothing => {
            let schema = json!({"type": "object", "maxProperties": 0});
            described["requestBody"] = json!({
                "required": false,
                "description": "None, or `{}`.",
                "content": content(vec![("application/json", schema)]),
            });
        }
        Body::Of(kinds) => {
            described["requestBody"] = json!({"required": true, "content": content(kinds)});
        }
    }
    described
}

fn content(kinds: Vec<(&'static str, Value)>) -> Value {
    let kinds = kinds
        .into_iter()
        .map(|(kind, schema)| (kind.to_owned(), json!({"schema": schema})));
    Value::Object(kinds.collect())
}

/// The statuses of all problems that a route can answer with: those that come
/// with what it takes, and its own.
fn problems(route: &Route, operation: &Operation) -> Vec<u16> {
    use ProblemCode as Code;
    let mut codes = vec![
        Code::InvalidParameter,
        Code::ForbiddenHost,
        Code::ForbiddenOrigin,
        Code::Internal,
        Code::Draining,
        Code::StoreUnavailable,
    ];
    if let Door::Role(role) = route.door {
        codes.extend([
            Code::TokenRequired,
            Code::InvalidToken,
            Code::TooManyRequests,
        ]);
        if role > Role::Viewer {
            codes.push(Code::ForbiddenRole);
        }
    }
    if route.path.contains("{id}") {
        codes.push(Code::NotFound);
    }
    match operation.body {
        Body::None => {}
        Body::Nothing | Body::Of(_) => codes.extend([
            Code::InvalidRequest,
            Code::RequestTimeout,
            Code::RequestTooLarge,
            Code::UnsupportedMediaType,
            Code::Overloaded,
        ]),
    }
    codes.extend(&operation.codes);
    let mut statuses: Vec<u16> = codes.into_iter().map(Code::status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[cfg(test)]
mod tests;
