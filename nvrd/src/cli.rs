//! The command line: one variant per subcommand, each a few lines over the library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nvr_base::logging::{self, LogFormat};
use nvr_base::{Error, ErrorKind, RealClock, Result};
use nvr_contract::source::VideoCodec;
use nvr_media::{assemble, probe};

use crate::app;
use crate::config::{self, Config};
use crate::{cameras, clip, commands, exports, plugins};

/// A network video recorder: one declarative pipeline per camera, recorded without loss.
#[derive(Debug, Parser)]
#[command(name = "nvrd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Record, analyse, re-serve, until told to stop.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
        config: PathBuf,
        /// Print each committed event as a line of JSON on standard output.
        #[arg(long)]
        print_events: bool,
    },
    /// Say what is wrong with a configuration, its pipelines and its files; start nothing.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
        config: PathBuf,
        /// Print one JSON object instead of text, problems too.
        #[arg(long)]
        json: bool,
    },
    /// Print the gst-launch-1.0 line that is a camera's pipeline.
    Render {
        /// Name of the camera in the configuration file.
        camera: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
        config: PathBuf,
        /// Folder that the printed line writes segments and events below.
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        output: PathBuf,
        /// The codec of the stream that is analysed; found out by connecting, when not given.
        #[arg(long, value_parser = ["h264", "h265"])]
        codec: Option<String>,
        /// Print one JSON object instead of the plain line.
        #[arg(long)]
        json: bool,
    },
    /// Write a range of recordings into one MP4 file; a running daemon is neither needed nor in the way.
    Clip {
        /// Name of the camera.
        #[arg(long)]
        camera: String,
        /// Start: RFC 3339 (2026-01-31T12:00:00Z), or seconds since 1970-01-01 UTC.
        #[arg(long, value_name = "TIME")]
        from: String,
        /// End, in the same forms.
        #[arg(long, value_name = "TIME")]
        to: String,
        /// The file to write; it must not exist.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// The configuration file.
        #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
        config: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Connect to a camera for some seconds and say what it sends.
    Probe {
        /// The stream: rtsp://, file:// or test://.
        uri: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Compare files, index and chains with the rules of recording: 0 clean, 1 findings, 2 could not check.
    Fsck(commands::FsckArguments),
    /// Make the index anew from the files alone; the old one is moved aside, never deleted.
    Rebuild(commands::RebuildArguments),
    /// Say whether recordings, or an exported file, are what was recorded: 0 yes, 1 no, 2 not to be found out.
    Verify(commands::VerifyArguments),
    /// Add, list, change and remove users, beside a running daemon or without one.
    User(commands::UserArguments),
    /// Make, list and revoke API keys, beside a running daemon or without one.
    Key(commands::KeyArguments),
    /// Copy database, configuration and keys to a folder or a tar file, beside a running daemon or without one.
    Backup(commands::BackupArguments),
    /// Put a backup back, all of it or nothing; the daemon must not run.
    Restore(commands::RestoreArguments),
    /// Say what is wrong with this machine and configuration, and what to do: 0 nothing, 1 something, 2 could not look.
    Doctor(commands::DoctorArguments),
    /// Ask the running daemon how it is: 0 well, 1 not.
    Health(commands::HealthArguments),
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print what a shell completes the command line by.
    Completions(commands::CompletionsArguments),
    /// Print the manual page, or write one for each subcommand.
    Man(commands::ManArguments),
    /// Print which program this is, and what it works with.
    Version(commands::VersionArguments),
}

/// The command line, for whatever is made from its definition.
pub(crate) fn command() -> clap::Command {
    use clap::CommandFactory as _;
    Arguments::command()
}

/// Runs the program with the arguments of the process: 0 on success, 1 on failure, 2 on wrong usage or configuration.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Subcommands::Run {
            config,
            print_events,
        } => run(&config, print_events),
        Subcommands::Check { config, json } => check(&config, json),
        Subcommands::Render {
            camera,
            config,
            output,
            codec,
            json,
        } => render(&camera, &config, &output, codec.as_deref(), json),
        Subcommands::Clip {
            camera,
            from,
            to,
            output,
            config,
            json,
        } => run_clip(&camera, (&from, &to), &output, (&config, json)),
        Subcommands::Probe { uri, json } => run_probe(&uri, json),
        Subcommands::Fsck(arguments) => {
            start_log(None);
            return commands::fsck(&arguments);
        }
        Subcommands::Rebuild(arguments) => {
            start_log(None);
            return commands::rebuild(&arguments);
        }
        Subcommands::Verify(arguments) => {
            start_log(None);
            return commands::verify(&arguments);
        }
        Subcommands::User(arguments) => {
            start_log(None);
            return commands::user(&arguments);
        }
        Subcommands::Key(arguments) => {
            start_log(None);
            return commands::key(&arguments);
        }
        Subcommands::Backup(arguments) => {
            start_log(None);
            return commands::backup(&arguments);
        }
        Subcommands::Restore(arguments) => {
            start_log(None);
            return commands::restore(&arguments);
        }
        Subcommands::Doctor(arguments) => {
            start_log(None);
            return commands::doctor(&arguments);
        }
        Subcommands::Health(arguments) => return commands::health(&arguments),
        Subcommands::Schema => commands::schema(&mut std::io::stdout()),
        Subcommands::Completions(arguments) => {
            commands::completions(&arguments, command(), &mut std::io::stdout())
        }
        Subcommands::Man(arguments) => commands::man(&arguments, command(), &mut std::io::stdout()),
        Subcommands::Version(arguments) => commands::version(&arguments, &mut std::io::stdout()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                say(&mut std::io::stderr(), &format!("nvrd: {line}"));
            }
            match error.kind() {
                ErrorKind::InvalidArgument => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints a line; a reader that has gone is no error of ours.
fn say(to: &mut dyn std::io::Write, line: &str) {
    if let Err(error) = writeln!(to, "{line}").and_then(|()| to.flush()) {
        tracing::debug!(%error, "nobody reads the output");
    }
}

fn start_log(config: Option<&Config>) {
    let settings = config.map(|config| config.log.clone()).unwrap_or_default();
    let filter = std::env::var(app::LOG_VARIABLE).unwrap_or(settings.filter);
    let format = match settings.format {
        config::LogFormat::Text => LogFormat::Text,
        config::LogFormat::Json => LogFormat::Json,
    };
    logging::init(format, &filter);
}

fn folder_of(config: &Path) -> PathBuf {
    let folder = config
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

fn run(path: &Path, print_events: bool) -> Result<()> {
    let config = Config::load(path)?;
    start_log(Some(&config));
    commands::run(config, folder_of(path), print_events)
}

fn check(path: &Path, json: bool) -> Result<()> {
    let mut warnings = Vec::new();
    let checked = Config::load(path).and_then(|config| {
        start_log(Some(&config));
        warnings = config.warnings();
        app::specs(&config, &folder_of(path))
    });
    let out = &mut std::io::stdout();
    if json {
        let failure = checked.as_ref().err().map(ToString::to_string);
        let problems: Vec<&str> = failure.iter().flat_map(|text| text.lines()).collect();
        let cameras = checked.as_ref().ok().map(Vec::len);
        let file = path.display().to_string();
        let found = serde_json::json!({
            "file": file, "cameras": cameras, "problems": problems, "warnings": warnings,
        });
        say(out, &found.to_string());
    }
    for warning in warnings.iter().filter(|_| !json) {
        let line = format!("{}: warning: {warning}", path.display());
        say(&mut std::io::stderr(), &line);
    }
    let count = checked
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidArgument => Error::invalid(format!(
                "{error}\n`nvrd schema` prints what the file may hold"
            )),
            _ => error,
        })?
        .len();
    if !json {
        say(
            out,
            &format!("{}: {count} cameras, no problems", path.display()),
        );
    }
    Ok(())
}

fn render(camera: &str, path: &Path, output: &Path, codec: Option<&str>, json: bool) -> Result<()> {
    let config = Config::load(path)?;
    start_log(Some(&config));
    let specs = app::specs(&config, &folder_of(path))?;
    let spec = specs
        .iter()
        .find(|spec| spec.name.as_str() == camera)
        .ok_or_else(|| {
            Error::invalid(format!(
                "{}: no camera is called {camera:?}",
                path.display()
            ))
        })?;
    let codec = match codec.and_then(VideoCodec::from_word) {
        Some(codec) => codec,
        None => {
            let clock = RealClock::new();
            let patience = Duration::from_secs(8);
            let analysed = spec.pipelines[0].analysed(spec);
            let stream = probe::Stream::of(spec, analysed)
                .ok_or_else(|| Error::internal("the analysed stream has no URI"))?;
            let found = probe::probe(&clock, &stream, patience, Duration::ZERO);
            found
                .map_err(|error| {
                    Error::unavailable(format!("{error}: say --codec when the camera is away"))
                })?
                .codec
        }
    };
    if spec.credentials.is_some() {
        say(
            &mut std::io::stderr(),
            "nvrd: credentials are left out: add user-id and user-pw to camerasrc",
        );
    }
    let line = assemble::render(spec, &spec.pipelines[0], codec, output)?;
    let rendered = serde_json::json!({"camera": camera, "codec": codec.as_str(), "launch": line});
    let text = if json { rendered.to_string() } else { line };
    say(&mut std::io::stdout(), &text);
    Ok(())
}

fn run_clip(
    camera: &str,
    (from, to): (&str, &str),
    output: &Path,
    (path, json): (&Path, bool),
) -> Result<()> {
    let config = Config::load(path)?;
    start_log(Some(&config));
    let range = exports::Range {
        camera: camera.to_owned(),
        start_us: clip::moment_of("--from", from)?,
        end_us: clip::moment_of("--to", to)?,
    };
    let clip = clip::write(&config, &range, output)?;
    let out = &mut std::io::stdout();
    if json {
        say(out, &clip.json().to_string());
    } else {
        for line in clip.lines() {
            say(out, &line);
        }
    }
    Ok(())
}

fn run_probe(uri: &str, json: bool) -> Result<()> {
    start_log(None);
    plugins::register()?;
    let input = cameras::without_credentials_in_uri(cameras::CameraInput {
        name: "probe".to_owned(),
        uri: uri.to_owned(),
        title: None,
        sub_uri: None,
        user: None,
        password: None,
        pipeline: "record".to_owned(),
        params: std::collections::BTreeMap::new(),
        enabled: true,
    })?;
    cameras::check_uri("uri", &input.uri).map_err(Error::invalid)?;
    let clock = RealClock::new();
    let credentials = cameras::credentials_of(&input);
    let found = probe::probe(
        &clock,
        &probe::Stream::new(&input.uri, credentials.as_ref()),
        Duration::from_secs(8),
        Duration::from_secs(4),
    )?;
    let text = if json {
        probe_json(&found)
    } else {
        probe_text(&found)
    };
    say(&mut std::io::stdout(), &text);
    Ok(())
}

fn probe_json(found: &probe::Probe) -> String {
    serde_json::json!({
        "codec": found.codec.as_str(), "width": found.width, "height": found.height,
        "declared_fps": found.declared_fps, "fps": found.fps,
        "keyframe_interval_s": found.keyframe_interval_s, "bitrate": found.bitrate, "audio": found.audio,
        "advice": found.advice,
    })
    .to_string()
}

fn probe_text(found: &probe::Probe) -> String {
    let number = |value: Option<f64>, unit: &str| match value {
        Some(value) => format!("{value:.1} {unit}"),
        None => "unknown".to_owned(),
    };
    let advice = found.advice.as_deref();
    let advice = advice.map_or(String::new(), |text| format!("\nadvice     {text}"));
    format!(
        "video      {} {}x{}\npictures   {}\nkey frames every {}\nbitrate    {}\naudio      {}{advice}",
        found.codec,
        found.width,
        found.height,
        number(found.fps, "per second"),
        number(found.keyframe_interval_s, "s"),
        number(found.bitrate.map(|bits| bits / 1000.0), "kbit/s"),
        if found.audio { "yes" } else { "no" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }
}
