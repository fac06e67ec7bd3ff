//! `nvrd doctor`: what is wrong with this machine and this configuration, and what to do about it.
//!
//! It changes nothing: no folder is made, no lock is taken for longer than a look, and no camera is called unless asked.

mod configured;
mod disks;
mod machine;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nvr_base::{Error, Result};
use serde::Serialize;

use super::{finish, say, say_json};
use crate::config::Config;

/// What `nvrd doctor` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArguments {
    /// The configuration file; without one only the machine is looked at.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: Option<PathBuf>,
    /// Connect to every camera of the file, and say what each sends.
    #[arg(long, requires = "config")]
    cameras: bool,
    /// Print one JSON object a finding, and one for the summary.
    #[arg(long)]
    json: bool,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warning,
    /// Something will not work.
    Problem,
}

/// What a look found.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    /// What was looked at: `storage /srv/nvrd`, `camera front`, …
    subject: String,
    level: Level,
    /// One sentence on how it is.
    detail: String,
    /// What to do, unless it is as it should be.
    advice: Option<String>,
}

/// All findings, in the order of the looks.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        level: Level,
        subject: &str,
        detail: impl Into<String>,
        advice: Option<&str>,
    ) {
        self.0.push(Finding {
            subject: subject.to_owned(),
            level,
            detail: detail.into(),
            advice: advice.map(str::to_owned),
        });
    }

    fn ok(&mut self, subject: &str, detail: impl Into<String>) {
        self.add(Level::Ok, subject, detail, None);
    }

    fn warning(&mut self, subject: &str, detail: impl Into<String>, advice: &str) {
        self.add(Level::Warning, subject, detail, Some(advice));
    }

    fn problem(&mut self, subject: &str, detail: impl Into<String>, advice: &str) {
        self.add(Level::Problem, subject, detail, Some(advice));
    }

    fn count(&self, level: Level) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    }
}

/// Looks: 0 when nothing keeps the recorder from working, 1 when something does, 2 when it could not be found out.
pub(crate) fn doctor(arguments: &DoctorArguments) -> ExitCode {
    finish(look(arguments, &mut std::io::stdout()))
}

fn look(arguments: &DoctorArguments, out: &mut dyn Write) -> Result<bool> {
    crate::plugins::register()?;
    let mut findings = Findings::default();
    machine::elements(&mut findings);
    machine::clock(&mut findings);
    machine::privileges(&mut findings);
    if let Some(path) = &arguments.config {
        let folder = folder_of(path);
        match Config::load(path) {
            Ok(config) => {
                configured::file(path, &config, &mut findings);
                machine::limits(config.cameras.len(), &mut findings);
                configured::pipelines(&config, &folder, &mut findings);
                let running = disks::storages(&config, &mut findings)?;
                configured::listeners(&config, running, &mut findings);
                disks::database(&config, &mut findings);
                if arguments.cameras {
                    configured::cameras(&config, &folder, &mut findings);
                }
            }
            Err(error) => {
                for line in error.to_string().lines() {
                    findings.problem(
                        "configuration",
                        line,
                        "put it right: `nvrd schema` prints what the file may hold",
                    );
                }
            }
        }
    }
    tell(&findings, arguments.json, out)?;
    Ok(findings.count(Level::Problem) == 0)
}

fn folder_of(config: &Path) -> PathBuf {
    let folder = config.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

fn tell(findings: &Findings, json: bool, out: &mut dyn Write) -> Result<()> {
    let (problems, warnings) = (
        findings.count(Level::Problem),
        findings.count(Level::Warning),
    );
    if json {
        for finding in &findings.0 {
            say_json(out, finding)?;
        }
        let summary = serde_json::json!({"problems": problems, "warnings": warnings});
        return say_json(out, &serde_json::json!({ "summary": summary }));
    }
    for finding in &findings.0 {
        let word = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "WARNING",
            Level::Problem => "PROBLEM",
        };
        say(
            out,
            &format!("{word:<8} {}: {}", finding.subject, finding.detail),
        );
        if let Some(advice) = &finding.advice {
            say(out, &format!("         → {advice}"));
        }
    }
    say(out, &format!("{problems} problems, {warnings} warnings"));
    Ok(())
}

/// The first line of an error, which is a sentence.
fn sentence(error: &Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
