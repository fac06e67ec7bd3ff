//! The JSON Schema of the configuration file, made of the very types that read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::Config;

/// Where the types of the schema refer to each other, and where they do in the schema.
const REFERENCES: (&str, &str) = ("#/components/schemas/", "#/$defs/");

/// The schema, JSON Schema 2020-12: editors complete and check a TOML file by it.
pub fn schema() -> Value {
    let mut parts = Vec::new();
    Config::schemas(&mut parts);
    let parts: BTreeMap<String, Value> = parts
        .into_iter()
        .map(|(name, part)| (name, in_toml(json!(part))))
        .collect();
    let mut whole = in_toml(json!(Config::schema()));
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = "The configuration file of nvrd".into();
    whole["$defs"] = json!(parts);
    whole
}

/// Without `null`, which TOML has no word for, and with references that lead where the parts are.
fn in_toml(value: Value) -> Value {
    let is_null = |value: &Value| value == &json!("null") || value == &json!({"type": "null"});
    match value {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> = fields
                .into_iter()
                .filter(|(key, value)| key != "default" || !value.is_null())
                .map(|(key, value)| (key, in_toml(value)))
                .collect();
            // One choice that is left is none.
            let only = |fields: &serde_json::Map<String, Value>| match fields.get("oneOf")? {
                Value::Array(choices) if choices.len() == 1 => choices[0].as_object().cloned(),
                _ => None,
            };
            if let Some(only) = only(&fields) {
                fields.remove("oneOf");
                for (key, value) in only {
                    fields.entry(key).or_insert(value);
                }
            }
            Value::Object(fields)
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items
                .into_iter()
                .filter(|item| !is_null(item))
                .map(in_toml)
                .collect();
            match (items.len(), items.first()) {
                (1, Some(Value::String(word))) if is_type(word) => items.remove(0),
                _ => Value::Array(items),
            }
        }
        Value::String(text) => match text.strip_prefix(REFERENCES.0) {
            Some(name) => format!("{}{name}", REFERENCES.1).into(),
            None => text.into(),
        },
        other => other,
    }
}

/// Whether a word names a type; `type: ["string", "null"]` becomes `type: "string"`.
fn is_type(word: &str) -> bool {
    matches!(
        word,
        "string" | "number" | "integer" | "boolean" | "object" | "array"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// A table of the file: its keys as TOML writes them, and its part of the schema.
    type Table = (Vec<String>, Value);

    fn resolved(schema: &Value, part: &Value) -> Value {
        match part["$ref"].as_str() {
            Some(name) => schema["$defs"][name.trim_start_matches(REFERENCES.1)].clone(),
            None => part.clone(),
        }
    }

    /// Every table, lists of tables too.
    fn tables(schema: &Value, path: &[String], part: &Value, found: &mut Vec<Table>) {
        let part = resolved(schema, part);
        if part["type"] == "array" {
            let mut path = path.to_vec();
            if let Some(last) = path.last_mut() {
                last.push_str("[]");
            }
            return tables(schema, &path, &part["items"], found);
        }
        let Some(properties) = part["properties"].as_object() else {
            return;
        };
        found.push((path.to_vec(), part.clone()));
        for (key, part) in properties {
            let path = [path, std::slice::from_ref(key)].concat();
            tables(schema, &path, part, found);
        }
    }

    fn all_tables() -> Vec<Table> {
        let schema = schema();
        let mut found = Vec::new();
        tables(&schema, &[], &schema, &mut found);
        found
    }

    /// A file whose first key in a table is one that nobody knows.
    fn with_unknown_key(path: &[String]) -> String {
        let mut text = String::new();
        let names: Vec<&str> = path.iter().map(|key| key.trim_end_matches("[]")).collect();
        for (depth, key) in path.iter().enumerate() {
            let name = names[..=depth].join(".");
            match key.ends_with("[]") {
                true => text.push_str(&format!("[[{name}]]\n")),
                false => text.push_str(&format!("[{name}]\n")),
            }
        }
        text + "zzzz = 1\n"
    }

    #[test]
    fn schema_and_file_know_the_same_keys_and_refuse_others() {
        let found = all_tables();
        assert!(found.len() >= 15, "{}", found.len());
        for (path, part) in found {
            let error = Config::parse(&with_unknown_key(&path), Path::new("/"))
                .unwrap_err()
                .to_string();
            let (_, known) = error
                .split_once("unknown key `zzzz`; known keys are ")
                .unwrap_or_else(|| panic!("{path:?}: {error}"));
            let known: BTreeSet<&str> = known.split(", ").collect();
            let told = part["properties"].as_object().unwrap();
            let told: BTreeSet<&str> = told.keys().map(String::as_str).collect();
            assert_eq!(told, known, "{path:?}");
            assert_eq!(part["additionalProperties"], false, "{path:?}");
        }
    }

    #[test]
    fn what_must_be_given_is_required_and_told_of() {
        let schema = schema();
        let required = |part: &str| schema["$defs"][part]["required"].clone();
        assert_eq!(schema["required"], json!(["storage"]));
        assert_eq!(required("StorageConfig"), json!(["path"]));
        assert_eq!(required("CameraConfig"), json!(["name", "uri"]));
        assert_eq!(required("ExportConfig"), Value::Null);
        for (path, part) in all_tables() {
            for (key, value) in part["properties"].as_object().unwrap() {
                let told = value["description"].as_str().unwrap_or_default();
                assert!(!told.is_empty(), "{path:?} {key}: nobody says what it is");
            }
        }
    }

    #[test]
    fn nothing_is_null_and_references_lead_somewhere() {
        let text = schema().to_string();
        assert!(!text.contains("\"null\"") && !text.contains("/components/"));
        let schema = schema();
        for (at, _) in text.match_indices(REFERENCES.1) {
            let name = text[at + REFERENCES.1.len()..].split('"').next().unwrap();
            assert!(schema["$defs"][name].is_object(), "{name}");
        }
        let bytes = &schema["$defs"]["StorageConfig"]["properties"]["max_bytes"];
        assert_eq!(bytes["$ref"], "#/$defs/Bytes");
    }
}
