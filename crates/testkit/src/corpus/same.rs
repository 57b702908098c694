//! Whether a value has come back from Python as it went in.

use serde_json::{Number, Value};

/// Equal, numbers by value. A number that a double cannot hold arrives as the
/// text that it was.
pub fn same(sent: &Value, got: &Value) -> bool {
    match (sent, got) {
        (Value::Number(sent), Value::Number(got)) => same_number(sent, got),
        (Value::Number(sent), Value::String(got)) => {
            sent.as_str() == got && python_has_no_number(sent.as_str())
        }
        (Value::Array(sent), Value::Array(got)) => {
            sent.len() == got.len() && sent.iter().zip(got).all(|(sent, got)| same(sent, got))
        }
        (Value::Object(sent), Value::Object(got)) => {
            sent.len() == got.len()
                && sent
                    .iter()
                    .all(|(key, sent)| got.get(key).is_some_and(|got| same(sent, got)))
        }
        (sent, got) => sent == got,
    }
}

fn python_has_no_number(text: &str) -> bool {
    text.len() > 4000 || text.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn same_number(sent: &Number, got: &Number) -> bool {
    let is_integer = |text: &str| !text.contains(['.', 'e', 'E']);
    if is_integer(sent.as_str()) && sent.as_str() != "-0" {
        return sent.as_str() == got.as_str();
    }
    let double = |number: &Number| number.as_str().parse::<f64>().unwrap();
    double(sent) == double(got)
}

#[cfg(test)]
mod tests;
