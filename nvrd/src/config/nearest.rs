//! Turns an error of the TOML reader into one line: where, what, and for an unknown key the nearest known one.

/// One line on what is wrong in a text.
pub(super) fn explain(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', " ");
    let place = place(error);
    match unknown_key(&message) {
        Some((key, known)) => format!("{place}unknown key `{key}`{}", hint(key, &known)),
        // Our own sentences are about a value, and its key stands before it.
        None if message.contains(": use ") => {
            let key = key_before(text, error).map(|key| format!("{key}: "));
            format!("{place}{}{message}", key.unwrap_or_default())
        }
        None => format!("{place}{message}"),
    }
}

/// The key whose value an error is about.
fn key_before<'a>(text: &'a str, error: &toml::de::Error) -> Option<&'a str> {
    let before = text.get(..error.span()?.start)?.trim_end();
    let before = before.strip_suffix('=')?.trim_end();
    let start = before.rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
    Some(&before[start.map_or(0, |at| at + 1)..])
}

/// `line 3, column 1: `, from the error's own rendering, which counts lines.
fn place(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let found = text.split_once("at line ").and_then(|(_, rest)| {
        let (line, rest) = rest.split_once(", column ")?;
        Some((
            line.parse::<u32>().ok()?,
            rest.split_whitespace().next()?.parse::<u32>().ok()?,
        ))
    });
    found
        .map(|(line, column)| format!("line {line}, column {column}: "))
        .unwrap_or_default()
}

/// The unknown key and the known ones, out of "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((key, known))
}

fn hint(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(key, a).total_cmp(&strsim::jaro_winkler(key, b)));
    match nearest.filter(|name| strsim::jaro_winkler(key, name) > 0.6) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; known keys are {}", known.join(", ")),
    }
}
