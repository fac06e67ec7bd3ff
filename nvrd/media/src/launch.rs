//! Launch lines as words: enough to find an element by name, set its properties and print the line for a shell.
//!
//! The words come from a description file only; values of cameras never pass through here on the way to a
//! running pipeline, they are set as typed properties.

use std::fmt::Write as _;

/// A launch line, split into words with quotes kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchLine {
    words: Vec<String>,
}

impl LaunchLine {
    /// Splits a launch line at white space outside double quotes.
    ///
    /// # Errors
    /// When a quote is not closed, or the line is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut word = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for c in text.chars() {
            if c.is_whitespace() && !quoted && !escaped {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            word.push(c);
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        if !word.is_empty() {
            words.push(word);
        }
        if words.is_empty() {
            Err("the line is empty".to_owned())
        } else {
            Ok(Self { words })
        }
    }

    fn position(&self, element: &str) -> Option<usize> {
        self.words
            .iter()
            .position(|word| word.strip_prefix("name=") == Some(element))
    }

    /// Whether an element has that name.
    pub fn has(&self, element: &str) -> bool {
        self.position(element).is_some()
    }

    /// Whether the line links that pad of that element.
    pub fn has_pad(&self, element: &str, pad: &str) -> bool {
        self.words
            .iter()
            .any(|word| word.split_once('.') == Some((element, pad)))
    }

    /// The factory of the element with that name.
    pub fn factory_of(&self, element: &str) -> Option<&str> {
        self.factory_position(element)
            .map(|at| self.words[at].as_str())
    }

    fn factory_position(&self, element: &str) -> Option<usize> {
        let name = self.position(element)?;
        // Properties stand between the factory and the name; the factory is the first word without `=`.
        (0..name).rev().find(|&at| !self.words[at].contains('='))
    }

    /// Puts another factory at the place of the element with that name.
    pub fn set_factory(&mut self, element: &str, factory: &str) {
        if let Some(at) = self.factory_position(element) {
            factory.clone_into(&mut self.words[at]);
        }
    }

    /// Adds a property after the name of an element; a property of that name that is there already goes.
    pub fn set_property(&mut self, element: &str, property: &str, value: &str) {
        let Some(name) = self.position(element) else {
            return;
        };
        let prefix = format!("{property}=");
        let end = (name + 1..self.words.len())
            .find(|&at| !self.words[at].contains('='))
            .unwrap_or(self.words.len());
        let start = self.factory_position(element).map_or(name, |at| at + 1);
        for at in (start..end).rev().filter(|&at| at != name) {
            if self.words[at].starts_with(&prefix) {
                self.words.remove(at);
            }
        }
        if let Some(name) = self.position(element) {
            self.words
                .insert(name + 1, format!("{prefix}{}", quoted(value)));
        }
    }

    /// Every factory of the line, in order; pads (`name.pad`) and caps are not factories.
    pub fn factories(&self) -> impl Iterator<Item = &str> {
        self.words
            .iter()
            .map(String::as_str)
            .filter(|word| !word.contains(['=', '!', '.', '/', ',', '(', ')']))
    }

    /// The text that GStreamer parses.
    pub fn to_text(&self) -> String {
        self.words.join(" ")
    }

    /// A command line for a POSIX shell.
    pub fn to_shell(&self) -> String {
        let mut line = String::from("gst-launch-1.0");
        for word in &self.words {
            let plain = word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "=-_./,:%+@".contains(c));
            if plain || word == "!" {
                write!(line, " {word}").expect("writing to a string never fails");
            } else {
                write!(line, " '{}'", word.replace('\'', "'\\''"))
                    .expect("writing to a string never fails");
            }
        }
        line
    }
}

/// A value in the quotes that the launch syntax understands, where it needs them.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
    if plain {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LaunchLine {
        LaunchLine::parse("camerasrc name=source source.video ! queue max-size-time=1 name=q leaky=no !\n avdec_h264 name=d ! fakesink").unwrap()
    }

    #[test]
    fn finds_and_changes_elements() {
        let mut line = line();
        assert_eq!(line.factory_of("q"), Some("queue"));
        assert_eq!(line.factory_of("nobody"), None);
        assert!(line.has_pad("source", "video") && !line.has_pad("source", "audio"));
        line.set_factory("d", "avdec_h265");
        line.set_property("q", "leaky", "downstream");
        line.set_property("source", "uri", "file:///a b/\"c\".mp4?loop=true");
        assert_eq!(
            line.to_text(),
            "camerasrc name=source uri=\"file:///a b/\\\"c\\\".mp4?loop=true\" source.video ! queue max-size-time=1 name=q leaky=downstream ! avdec_h265 name=d ! fakesink"
        );
        assert_eq!(
            line.factories().collect::<Vec<_>>(),
            ["camerasrc", "queue", "avdec_h265", "fakesink"]
        );
    }

    #[test]
    fn prints_what_a_shell_takes() {
        let mut line = line();
        line.set_property("source", "uri", "rtsp://h/it's?a=1&b=2");
        assert!(
            line.to_shell().starts_with("gst-launch-1.0 camerasrc name=source 'uri=\"rtsp://h/it'\\''s?a=1&b=2\"' source.video !"),
            "{}",
            line.to_shell()
        );
    }

    #[test]
    fn refuses_what_is_no_line() {
        assert_eq!(LaunchLine::parse(" \n").unwrap_err(), "the line is empty");
        assert_eq!(
            LaunchLine::parse("a x=\"b").unwrap_err(),
            "a quote is not closed"
        );
    }
}
