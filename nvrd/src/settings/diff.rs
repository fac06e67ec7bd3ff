//! What two versions of a configuration differ in, value by value, without a secret.

use nvr_base::logging::scrub;
use serde_json::Value;

/// A value that is another one now.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key, from the root: `export.keep_days`, `camera.front.uri`.
    pub path: String,
    /// What it was; `null` where nothing was said.
    pub before: Value,
    /// What it is.
    pub after: Value,
    /// Whether it counts from the next start on only.
    pub needs_restart: bool,
}

/// Keys whose changes count at once; those below them do too.
const LIVE: [&str; 9] = [
    "camera",
    "retention",
    "export",
    "pipelines",
    "log.filter",
    "storage.max_bytes",
    "storage.min_free",
    "storage.when_full",
    "storage.more",
];

/// Keys below the ones before that need a restart all the same.
const NOT_LIVE: [&str; 2] = ["path", "name"];

/// Whether a change of a key counts at once.
fn is_live(path: &str) -> bool {
    let below = |root: &str| {
        let rest = path.strip_prefix(root);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let last = path.rsplit('.').next().unwrap_or(path);
    let folder = path.starts_with("storage.more.") && NOT_LIVE.contains(&last);
    LIVE.into_iter().any(below) && !folder
}

/// Every value that differs, in the order of the keys.
pub(super) fn changes(before: &toml::Table, after: &toml::Table) -> Vec<Change> {
    let mut found = Vec::new();
    tables("", before, after, &mut found);
    found
}

/// Every value of a table by its key, without secrets.
pub(super) fn flat(table: &toml::Table) -> Vec<(String, Value)> {
    let all = changes(&toml::Table::new(), table);
    all.into_iter().map(|it| (it.path, it.after)).collect()
}

fn tables(path: &str, before: &toml::Table, after: &toml::Table, found: &mut Vec<Change>) {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        values(&path, before.get(key), after.get(key), found);
    }
}

fn values(
    path: &str,
    before: Option<&toml::Value>,
    after: Option<&toml::Value>,
    found: &mut Vec<Change>,
) {
    if before == after {
        return;
    }
    let empty = toml::Table::new();
    let table = |value: Option<&toml::Value>| match value {
        None => Some(empty.clone()),
        Some(toml::Value::Table(table)) => Some(table.clone()),
        // Lists of tables become tables by name, or else by number, so that one more camera is one more key.
        Some(toml::Value::Array(items)) => by_name(items),
        Some(_) => None,
    };
    let holds_more = |value: Option<&toml::Value>| value.is_some() && table(value).is_some();
    if holds_more(before) || holds_more(after) {
        let (before, after) = (table(before), table(after));
        if let (Some(before), Some(after)) = (before, after) {
            return tables(path, &before, &after, found);
        }
    }
    found.push(Change {
        path: path.to_owned(),
        before: shown(path, before),
        after: shown(path, after),
        needs_restart: !is_live(path),
    });
}

/// A list of tables as a table; `None` for any other list.
fn by_name(items: &[toml::Value]) -> Option<toml::Table> {
    let mut table = toml::Table::new();
    for (index, item) in items.iter().enumerate() {
        let item = item.as_table()?;
        let name = item.get("name").and_then(toml::Value::as_str);
        let name = name.map_or_else(|| index.to_string(), str::to_owned);
        table.insert(name, toml::Value::Table(item.clone()));
    }
    Some(table)
}

/// A value as it may be shown.
fn shown(path: &str, value: Option<&toml::Value>) -> Value {
    let Some(value) = value else {
        return Value::Null;
    };
    if is_secret(path) {
        return "***".into();
    }
    match value {
        toml::Value::String(text) => scrub(text).into_owned().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(items) => items.iter().map(|item| shown(path, Some(item))).collect(),
        toml::Value::Table(table) => {
            let all = table.iter();
            all.map(|(key, value)| (key.clone(), shown(key, Some(value))))
                .collect()
        }
    }
}

/// Whether what stands at a key is not to be shown.
pub fn is_secret(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    let secret = |word: &str| last == word || last.ends_with(&format!("_{word}"));
    ["password", "secret", "token", "api_key", "key_pem"]
        .into_iter()
        .any(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn told(before: &str, after: &str) -> String {
        let changes = changes(&before.parse().unwrap(), &after.parse().unwrap());
        let line = |it: &Change| {
            let restart = if it.needs_restart { " (restart)" } else { "" };
            format!("{}: {} -> {}{restart}\n", it.path, it.before, it.after)
        };
        changes.iter().map(line).collect()
    }

    #[test]
    fn changes_are_told_key_by_key() {
        let before = r#"
            [storage]
            path = "data"
            [[storage.more]]
            path = "e"
            [log]
            filter = "info"
            format = "text"
            [[camera]]
            name = "a"
            uri = "rtsp://u:pw@h/1"
            password = "one"
            [[camera]]
            name = "b"
            uri = "test://ball"
        "#;
        let after = r#"
            [storage]
            path = "other"
            max_bytes = "1 GB"
            [[storage.more]]
            path = "f"
            max_bytes = 5
            [log]
            filter = "debug"
            format = "json"
            [[camera]]
            name = "c"
            uri = "test://ball"
            params = { threshold = 0.5 }
            [[camera]]
            name = "a"
            uri = "rtsp://u:other@h/2"
            password = "two"
        "#;
        expect![[r#"
            camera.a.password: "***" -> "***"
            camera.a.uri: "rtsp://***@h/1" -> "rtsp://***@h/2"
            camera.b.name: "b" -> null
            camera.b.uri: "test://ball" -> null
            camera.c.name: null -> "c"
            camera.c.params.threshold: null -> 0.5
            camera.c.uri: null -> "test://ball"
            log.filter: "info" -> "debug"
            log.format: "text" -> "json" (restart)
            storage.max_bytes: null -> "1 GB"
            storage.more.0.max_bytes: null -> 5
            storage.more.0.path: "e" -> "f" (restart)
            storage.path: "data" -> "other" (restart)
        "#]]
        .assert_eq(&told(before, after));
        assert_eq!(told(before, before), "");
    }
}
