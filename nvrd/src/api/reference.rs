//! The description of the API as one page to read, made of the document itself; it needs neither a script nor a network.

use std::fmt::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::access::Caller;
use super::error::ApiResult;
use super::openapi;
use super::reply::Content;

/// How deep a schema is shown within others; a type that holds itself would never end.
const DEEPEST: usize = 5;

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let document = serde_json::from_str(openapi::text()).expect("the document is JSON");
    page_of(&document)
});

/// Every endpoint on one page, to be read and searched.
#[utoipa::path(get, path = "/redoc", tag = "documentation", operation_id = "redoc", responses(
    (status = 200, body = String, content_type = "text/html", description = "The page."),
))]
pub(super) async fn page(_: Caller, []: [String; 0], (): ()) -> ApiResult<Content> {
    Ok(Content {
        content_type: "text/html; charset=utf-8".to_owned(),
        cache: "no-cache",
        bytes: Bytes::from_static(PAGE.as_bytes()),
    })
}

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8885;--soft:#8882}
body{margin:0;font:16px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:minmax(14rem,20rem) 1fr}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line);box-sizing:border-box}
nav a{display:block;text-decoration:none;font-size:.85rem;overflow-wrap:anywhere}
nav h2{font-size:.95rem;margin:1rem 0 .25rem}
main{padding:1rem 2rem;max-width:70rem;min-width:0}
section{border-top:1px solid var(--line);padding:1rem 0}
h3{margin:.5rem 0}code{font:.9em ui-monospace,monospace}
.method{font-weight:700;text-transform:uppercase;margin-right:.5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{text-align:left;vertical-align:top;padding:.25rem .5rem;border-bottom:1px solid var(--line)}
details{margin:.25rem 0;padding-left:.5rem;border-left:2px solid var(--soft)}
.type{opacity:.75}.must{font-size:.8em;opacity:.75}
@media(max-width:50rem){body{grid-template-columns:1fr}nav{position:static;height:auto;max-height:40vh}}
";

fn page_of(document: &Value) -> String {
    let title = text(&document["info"]["title"]);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} API</title><style>{STYLE}</style></head><body>"
    );
    let tags = operations_by_tag(document);
    page.push_str("<nav aria-label=\"Endpoints\">");
    for (tag, operations) in &tags {
        write(&mut page, format_args!("<h2>{}</h2>", escaped(tag)));
        for operation in operations {
            write(
                &mut page,
                format_args!(
                    "<a href=\"#{}\"><span class=\"method\">{}</span>{}</a>",
                    operation.anchor(),
                    operation.method,
                    escaped(operation.path)
                ),
            );
        }
    }
    write(
        &mut page,
        format_args!(
            "</nav><main><h1>{title} API {}</h1>{}<p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a>. \
             To try requests: <a href=\"/docs\">/docs</a>.</p>",
            text(&document["info"]["version"]),
            paragraphs(&document["info"]["description"])
        ),
    );
    for (tag, operations) in &tags {
        write(&mut page, format_args!("<h2>{}</h2>", escaped(tag)));
        for operation in operations {
            section(&mut page, document, operation);
        }
    }
    page.push_str("</main></body></html>");
    page
}

/// An operation of the document.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        text(&self.body["operationId"])
    }
}

/// In the order of the document's tags; an operation without one comes last.
fn operations_by_tag(document: &Value) -> Vec<(&str, Vec<Operation<'_>>)> {
    let names = document["tags"].as_array().into_iter().flatten();
    let mut tags: Vec<(&str, Vec<Operation<'_>>)> = names
        .filter_map(|tag| Some((tag["name"].as_str()?, Vec::new())))
        .collect();
    for (path, methods) in fields(&document["paths"]) {
        for (method, body) in fields(methods) {
            let operation = Operation { method, path, body };
            let tag = body["tags"][0].as_str().unwrap_or("others");
            match tags.iter_mut().find(|(name, _)| *name == tag) {
                Some((_, operations)) => operations.push(operation),
                None => tags.push((tag, vec![operation])),
            }
        }
    }
    tags.retain(|(_, operations)| !operations.is_empty());
    tags
}

fn section(page: &mut String, document: &Value, operation: &Operation<'_>) {
    let body = operation.body;
    write(
        page,
        format_args!(
            "<section id=\"{}\"><h3><span class=\"method\">{}</span><code>{}</code></h3><p>{}</p>{}",
            operation.anchor(),
            operation.method,
            escaped(operation.path),
            text(&body["summary"]),
            paragraphs(&body["description"])
        ),
    );
    let parameters: Vec<&Value> = body["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if !parameters.is_empty() {
        page.push_str("<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>");
        for parameter in parameters {
            write(
                page,
                format_args!(
                    "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}<span class=\"type\"> {}</span></td></tr>",
                    text(&parameter["name"]),
                    must(parameter["required"] == true),
                    text(&parameter["in"]),
                    text(&parameter["description"]),
                    type_of(&parameter["schema"])
                ),
            );
        }
        page.push_str("</table>");
    }
    for (media, content) in fields(&body["requestBody"]["content"]) {
        write(
            page,
            format_args!("<h4>Body <code>{}</code></h4>", escaped(media)),
        );
        schema(page, document, &content["schema"], DEEPEST);
    }
    page.push_str("<h4>Answers</h4>");
    for (status, answer) in fields(&body["responses"]) {
        write(
            page,
            format_args!(
                "<details><summary><code>{}</code> {}</summary>",
                escaped(status),
                text(&answer["description"])
            ),
        );
        for (media, content) in fields(&answer["content"]) {
            write(page, format_args!("<code>{}</code>", escaped(media)));
            schema(page, document, &content["schema"], DEEPEST);
        }
        page.push_str("</details>");
    }
    page.push_str("</section>");
}

/// The fields of an object, or of the items of a list, as a table.
fn schema(page: &mut String, document: &Value, schema: &Value, left: usize) {
    let schema = resolved(document, schema);
    let schema = match &schema["items"] {
        Value::Null => schema,
        items => {
            page.push_str(" list of:");
            resolved(document, items)
        }
    };
    let parts = schema["allOf"].as_array().or(schema["oneOf"].as_array());
    for part in parts
        .into_iter()
        .flatten()
        .filter(|part| part["type"] != "null")
    {
        if left > 0 {
            self::schema(page, document, part, left - 1);
        }
    }
    let properties: Vec<(&str, &Value)> = fields(&schema["properties"]).collect();
    if properties.is_empty() {
        if parts.is_none() {
            write(
                page,
                format_args!(" <span class=\"type\">{}</span>", type_of(schema)),
            );
        }
        return;
    }
    let required = schema["required"].as_array();
    page.push_str("<table><tr><th>Field</th><th>Meaning</th></tr>");
    for (name, property) in properties {
        let is_must = required.is_some_and(|names| names.iter().any(|it| it == name));
        write(
            page,
            format_args!(
                "<tr><td><code>{}</code>{}</td><td>{}<span class=\"type\"> {}</span>",
                escaped(name),
                must(is_must),
                text(&property["description"]),
                type_of(property)
            ),
        );
        if left > 0 && holds_more(property) {
            page.push_str("<details><summary>more</summary>");
            self::schema(page, document, property, left - 1);
            page.push_str("</details>");
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

fn holds_more(schema: &Value) -> bool {
    ["$ref", "items", "properties", "oneOf", "allOf"]
        .iter()
        .any(|key| !schema[*key].is_null())
}

/// The schema that a reference stands for, or itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    match name {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    }
}

/// The type in a few words: `integer (int64), 1 to 500`.
fn type_of(schema: &Value) -> String {
    let mut words = match (&schema["type"], schema["$ref"].as_str()) {
        (_, Some(path)) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        (Value::Array(types), _) => {
            let names: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        (kind, _) => kind.as_str().unwrap_or_default().to_owned(),
    };
    if let Some(format) = schema["format"].as_str() {
        words.push_str(&format!(" ({format})"));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        words.push_str(&format!(", one of {}", values.join(", ")));
    }
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, Value::Null) => {}
        (least, Value::Null) => words.push_str(&format!(", {least} at least")),
        (Value::Null, most) => words.push_str(&format!(", {most} at most")),
        (least, most) => words.push_str(&format!(", {least} to {most}")),
    }
    escaped(&words)
}

fn must(required: bool) -> &'static str {
    match required {
        true => " <span class=\"must\">always</span>",
        false => "",
    }
}

fn paragraphs(text: &Value) -> String {
    let parts = text.as_str().unwrap_or_default().split("\n\n");
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts
        .map(|part| format!("<p>{}</p>", escaped(part)))
        .collect()
}

fn fields(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields: Option<&Map<String, Value>> = object.as_object();
    fields
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

/// A text that is nothing but text in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("memory takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_comes_from_elsewhere() {
        let document: Value = serde_json::from_str(openapi::text()).unwrap();
        let mut operations = 0;
        for (_, methods) in fields(&document["paths"]) {
            for (_, body) in fields(methods) {
                let id = body["operationId"].as_str().unwrap();
                assert!(PAGE.contains(&format!("<section id=\"{id}\">")), "{id}");
                operations += 1;
            }
        }
        assert_eq!(PAGE.matches("<section id=").count(), operations);
        // Descriptions may name an address; nothing on the page loads or leads to one.
        for loads in ["<script", " src=", "url(", "@import", "href=\"http"] {
            assert!(!PAGE.contains(loads), "{loads}");
        }
    }

    #[test]
    fn texts_stay_texts() {
        assert_eq!(
            escaped("<a href='x'>&\""),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
        let schema = serde_json::json!({"type": ["integer", "null"], "minimum": 1, "maximum": 9});
        assert_eq!(type_of(&schema), "integer or null, 1 to 9");
    }
}
