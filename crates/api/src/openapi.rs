//! The OpenAPI document.

use axum::http::{StatusCode, Uri};

use crate::{app::Shared, problem::Answer, query::Params, routes};

pub(crate) async fn show(app: Shared, uri: Uri) -> Answer {
    Params::new(&uri, &[], app.now()).finish()?;
    Ok(routes::json(StatusCode::OK, &serde_json::json!({})))
}
