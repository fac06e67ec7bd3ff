//! What the program says of itself: its version, the schema of its configuration, completions and manual pages, all
//! made from the definitions that it runs by.

use std::io::Write;
use std::path::PathBuf;

use clap::Command;
use nvr_base::{Error, Result};

use super::{say, say_json};
use crate::config;

/// What `nvrd version` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArguments {
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What `nvrd completions` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// What `nvrd man` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {
    /// Folder to write the pages of all subcommands to; without it the main page is printed.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Prints which program this is, and what it works with.
pub(crate) fn version(arguments: &VersionArguments, out: &mut dyn Write) -> Result<()> {
    let (major, minor, micro, _) = gst::version();
    let gstreamer = format!("{major}.{minor}.{micro}");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let version = env!("CARGO_PKG_VERSION");
    let schema = nvr_store::newest_schema()?;
    let postgres = cfg!(feature = "postgres");
    if arguments.json {
        return say_json(
            out,
            &serde_json::json!({
                "name": "nvrd", "version": version, "target": target, "gstreamer": gstreamer,
                "database_schema": schema, "postgres": postgres,
            }),
        );
    }
    say(out, &format!("nvrd {version} ({target})"));
    say(out, &format!("GStreamer {gstreamer}"));
    let server = if postgres { ", or PostgreSQL" } else { "" };
    say(out, &format!("database schema {schema}, in SQLite{server}"));
    Ok(())
}

/// Prints the JSON Schema of the configuration file.
pub(crate) fn schema(out: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string_pretty(&config::schema())
        .map_err(|error| Error::internal(format!("no JSON: {error}")))?;
    say(out, &text);
    Ok(())
}

/// Prints what a shell completes the command line by.
pub(crate) fn completions(
    arguments: &CompletionsArguments,
    mut command: Command,
    out: &mut dyn Write,
) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "nvrd", &mut text);
    let text = String::from_utf8(text)
        .map_err(|error| Error::internal(format!("no completions: {error}")))?;
    say(out, text.trim_end());
    Ok(())
}

/// Prints the manual page, or writes one for each subcommand.
pub(crate) fn man(arguments: &ManArguments, command: Command, out: &mut dyn Write) -> Result<()> {
    match &arguments.folder {
        None => {
            let text = String::from_utf8(page(command)?)
                .map_err(|error| Error::internal(format!("no manual page: {error}")))?;
            say(out, text.trim_end());
            Ok(())
        }
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
            // One page for the program, and one for each subcommand, `nvrd-user-add.1` say.
            clap_mangen::generate_to(command, folder).map_err(|error| Error::io(folder, error))
        }
    }
}

/// The page of a command.
fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command);
    page.render(&mut text)
        .map_err(|error| Error::internal(format!("no manual page: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn printed(work: impl FnOnce(&mut dyn Write) -> Result<()>) -> String {
        let mut out = Vec::new();
        work(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_subcommand_is_completed_and_has_a_page() {
        let command = cli::command();
        let names: Vec<String> = command
            .get_subcommands()
            .map(|sub| sub.get_name().to_owned())
            .collect();
        assert!(names.len() >= 18, "{names:?}");
        for shell in ["bash", "zsh", "fish"] {
            let arguments = CompletionsArguments {
                shell: shell.parse().unwrap(),
            };
            let text = printed(|out| completions(&arguments, cli::command(), out));
            for name in &names {
                assert!(text.contains(name), "{shell} {name}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let arguments = ManArguments {
            folder: Some(folder.path().join("man")),
        };
        man(&arguments, cli::command(), &mut Vec::new()).unwrap();
        for name in &names {
            let page = folder.path().join(format!("man/nvrd-{name}.1"));
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert!(text.contains(".SH NAME"), "{name}");
        }
        assert!(folder.path().join("man/nvrd-user-add.1").is_file());
        let main = printed(|out| man(&ManArguments { folder: None }, cli::command(), out));
        assert!(
            main.contains("nvrd\\-doctor") || main.contains("doctor"),
            "{main}"
        );
    }

    #[test]
    fn the_version_is_told_to_people_and_programs() {
        let text = printed(|out| version(&VersionArguments { json: false }, out));
        assert!(
            text.starts_with(concat!("nvrd ", env!("CARGO_PKG_VERSION"))),
            "{text}"
        );
        let json = printed(|out| version(&VersionArguments { json: true }, out));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
        assert!(
            json["database_schema"].as_str().unwrap().len() >= 14,
            "{json}"
        );
    }

    #[test]
    fn the_schema_is_json() {
        let text = printed(schema);
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["additionalProperties"], false);
    }
}
