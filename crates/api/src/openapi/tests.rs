use std::collections::BTreeSet;

use super::*;

fn is_interface(path: &str) -> bool {
    ["/api/", "/healthz/", "/metrics"]
        .iter()
        .any(|start| path.starts_with(start))
}

#[test]
fn every_route_of_the_interface_is_in_the_document_and_no_page_is() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            documented.insert((method.as_str(), path.as_str(), id));
        }
    }
    let routed: BTreeSet<_> = ROUTES
        .iter()
        .filter(|route| is_interface(route.path))
        .map(|route| (route.method, route.path, route.operation))
        .collect();
    assert_eq!(routed, documented);
}

#[test]
fn operations_have_names_of_their_own() {
    let names: BTreeSet<_> = ROUTES.iter().map(|route| route.operation).collect();
    assert_eq!(ROUTES.len(), names.len());
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == "$ref" {
                        found.insert(value.as_str().unwrap().to_owned());
                    }
                    references(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn the_manual_has_the_role_of_every_route() {
    let manual = include_str!("../../../../docs/api.md");
    for route in ROUTES.iter().filter(|route| is_interface(route.path)) {
        let role = match route.door {
            Door::Role(role) => role.as_str(),
            Door::Unlocked => "none",
            Door::Page => panic!("`{}` is no page", route.path),
        };
        let method = route.method.to_uppercase();
        let line = format!("| `{method} {}` | {role} |", route.path);
        assert!(manual.contains(&line), "not in docs/api.md: {line}");
    }
}
