//! Just enough reading of Rust text: what is code, and what of it is compiled into the product.

/// The text with comments, strings and character literals blanked; every line keeps its number.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let length = literal_length(rest, before);
        if length == 0 {
            code.push(next);
            before = next;
            rest = &rest[next.len_utf8()..];
        } else {
            let (literal, tail) = rest.split_at(length);
            code.extend(literal.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            before = ' ';
            rest = tail;
        }
    }
    code
}

/// The length in bytes of the comment or literal that `text` begins with, 0 for neither.
fn literal_length(text: &str, before: char) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_length(text);
    }
    if text.starts_with('"') {
        return string_length(text);
    }
    let inside_a_word = before.is_alphanumeric() || before == '_';
    if !inside_a_word {
        let raw = text.strip_prefix('b').unwrap_or(text);
        let raw = raw.strip_prefix('c').unwrap_or(raw);
        if let Some(after) = raw.strip_prefix('r') {
            let hashes = after.len() - after.trim_start_matches('#').len();
            if after[hashes..].starts_with('"') {
                let start = text.len() - after.len() + hashes + 1;
                let end = format!("\"{}", "#".repeat(hashes));
                return text[start..]
                    .find(&end)
                    .map_or(text.len(), |at| start + at + end.len());
            }
        }
    }
    if text.starts_with('\'') {
        return character_length(text);
    }
    0
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal's length; 0 where the quote begins a lifetime.
fn character_length(text: &str) -> usize {
    let inner = &text[1..];
    if let Some(escape) = inner.strip_prefix('\\') {
        // The escaped character itself may be a quote.
        return escape
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map_or(0, |(at, _)| at + 3);
    }
    let mut chars = inner.char_indices();
    match (chars.next(), chars.next()) {
        (Some((_, first)), Some((at, '\''))) if first != '\'' => at + 2,
        _ => 0,
    }
}

/// For every line of `code`, whether it belongs to an item under `#[cfg(test)]` or `#[test]`.
pub fn test_lines(code: &str) -> Vec<bool> {
    let lines: Vec<&str> = code.lines().collect();
    let mut marks = vec![false; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        if is_test_attribute(lines[at]) {
            let end = item_end(&lines, at);
            marks[at..=end].fill(true);
            at = end + 1;
        } else {
            at += 1;
        }
    }
    marks
}

fn is_test_attribute(line: &str) -> bool {
    let line = line.trim_start();
    ["#[cfg(test)]", "#[test]", "#[tokio::test", "#[cfg(all(test"]
        .iter()
        .any(|attribute| line.starts_with(attribute))
}

/// The last line of the item whose attribute stands at `start`.
fn item_end(lines: &[&str], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate().skip(start) {
        let mut attribute_depth = 0_usize;
        for c in line.chars() {
            match c {
                '[' => attribute_depth += 1,
                ']' => attribute_depth = attribute_depth.saturating_sub(1),
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at;
                    }
                }
                ';' if depth == 0 && attribute_depth == 0 => return at,
                _ => {}
            }
        }
    }
    lines.len().saturating_sub(1)
}

/// Names of the modules that `code` declares under `#[cfg(test)]` and keeps in a file of their own.
pub fn test_modules(code: &str) -> Vec<String> {
    code.lines()
        .zip(test_lines(code))
        .filter(|(_, in_test)| *in_test)
        .filter_map(|(line, _)| {
            let declared = line.rsplit_once("mod ")?.1;
            Some(declared.strip_suffix(';')?.trim().to_owned())
        })
        .collect()
}

#[test]
fn comments_and_literals_are_blanked() {
    let check = |text: &str, expect: &str| assert_eq!(code_of(text), expect, "{text}");
    check("a // b\nc", "a     \nc");
    check("a /* b /* c */ d */ e", "a                   e");
    check(r#"x("a\"b") y"#, "x(      ) y");
    check("r#\"a\"b\"# c", "         c");
    check(r"'a' '\'' '\\' b", "              b");
    check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
    check("br\"a\" b\"c\"", "      b   ");
    check("for\"x\"", "for   ");
}

#[test]
fn items_of_tests_are_marked() {
    let check = |text: &str, expect: &[bool]| assert_eq!(test_lines(text), expect, "{text}");
    check(
        "fn a() {}\n#[cfg(test)]\nmod tests {\n}\nb",
        &[false, true, true, true, false],
    );
    check("#[cfg(test)]\nmod tests;\nfn a() {}", &[true, true, false]);
    check(
        "#[test]\nfn a() {\n  {}\n}\nb",
        &[true, true, true, true, false],
    );
    check("#[cfg(test)]\nuse a::{b, c};\nx", &[true, true, false]);
}

#[test]
fn test_modules_in_files_are_found() {
    assert_eq!(
        test_modules("mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(crate) mod c;\n"),
        ["b", "c"]
    );
}
