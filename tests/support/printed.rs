//! What a document prints: the endpoints it names and the command lines it shows.

/// The methods that documents name.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// `METHOD /path` of everything that a text names so, each once, in its order; text that follows a path without a
/// space, as tables that lost their borders have it, begins with a capital.
pub fn endpoints(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, _) in text.char_indices() {
        let here = &text[at..];
        let Some(method) = METHODS.iter().find(|method| here.starts_with(**method)) else {
            continue;
        };
        let rest = &here[method.len()..];
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        if !rest.starts_with('/') {
            continue;
        }
        let mut path = String::new();
        for letter in rest.chars() {
            let plain = letter.is_ascii_lowercase() || letter.is_ascii_digit();
            let value = letter.is_ascii_uppercase() && path.ends_with('=');
            if !plain && !value && !"/{}_-?=&<>".contains(letter) {
                break;
            }
            path.push(letter);
        }
        let endpoint = format!("{method} {path}");
        if !found.contains(&endpoint) {
            found.push(endpoint);
        }
    }
    found
}

/// Every command line that begins with `curl`, on one line, with one space between its words.
pub fn curls(text: &str) -> Vec<String> {
    let starts = text
        .match_indices("curl ")
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text[..*at].ends_with('\n'));
    starts.map(|at| one_line(&text[at..])).collect()
}

/// A command line up to its end, which is the end of a line outside of quotes and without a backslash before it, or
/// prose that follows.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            // The line goes on; where line ends were lost, a space follows.
            ('\\', None) => {
                letters.next_if(|next| next.is_whitespace());
                line.push(' ');
            }
            ('\n', None) => break,
            ('\n', Some(_)) => line.push(' '),
            ('"' | '\'', None) => {
                quote = Some(letter);
                line.push(letter);
            }
            (_, Some(open)) if open == letter => {
                quote = None;
                line.push(letter);
            }
            _ => line.push(letter),
        }
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let line = words.join(" ");
    match line.split_once("' - ") {
        Some((command, _)) => format!("{command}'"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_in_prose_and_in_tables_without_borders() {
        let text = "GET /health: well.GET /schema?task=<name>: keys\nMethodEndpoint\nGET/cameras/{id}Get one\n\
                    DELETE /faces/{id}\nGET /x?start_unix=X&end_unix=Y: all. GET /health again. GETTING /nothing";
        assert_eq!(
            endpoints(text),
            [
                "GET /health",
                "GET /schema?task=<name>",
                "GET /cameras/{id}",
                "DELETE /faces/{id}",
                "GET /x?start_unix=X&end_unix=Y"
            ]
        );
    }

    #[test]
    fn command_lines_are_whole() {
        let text = "Ask so:\ncurl -X POST \"http://h/\" \\\n-d '{\n\"a\": 1\n}'\nand\n\
                    curl h \\ -d '{ }' - List them:\nnot curl this";
        assert_eq!(
            curls(text),
            [
                "curl -X POST \"http://h/\" -d '{ \"a\": 1 }'",
                "curl h -d '{ }'"
            ]
        );
    }
}
