//! Figures in the words of Prometheus: families with help, unit and labels, written in the text format or as
//! `OpenMetrics`, and what is counted for them alone.
//!
//! It knows nothing of what the figures mean; `api/metrics` gathers them.

mod http;
mod process;

use std::fmt;

use nvr_base::durations::Counted;
use nvr_base::{Error, Result};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub(crate) use http::Http;
pub(crate) use process::process;
pub(crate) use prometheus_client::registry::Unit;

/// Names and values of the labels of a row.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// How figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own text format, version 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

/// A family of figures.
#[derive(Debug)]
struct Family {
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Counters(Vec<(Labels, f64)>),
    Gauges(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Counted)>),
}

/// Figures of one moment.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    families: Vec<Family>,
}

impl Format {
    /// The format that a client asks for by its header `Accept`.
    pub(crate) fn of(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// What the answer says it is.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Figures {
    /// What only grows; the name is written with its unit and `_total`.
    pub(crate) fn counter(
        &mut self,
        name: &'static str,
        unit: Option<Unit>,
        help: &'static str,
        rows: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let rows = Rows::Counters(rows.into_iter().collect());
        self.add(name, unit, help, rows);
    }

    /// What goes up and down; the name is written with its unit.
    pub(crate) fn gauge(
        &mut self,
        name: &'static str,
        unit: Option<Unit>,
        help: &'static str,
        rows: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let rows = Rows::Gauges(rows.into_iter().collect());
        self.add(name, unit, help, rows);
    }

    /// Durations by their length, in seconds.
    pub(crate) fn durations(
        &mut self,
        name: &'static str,
        help: &'static str,
        rows: impl IntoIterator<Item = (Labels, Counted)>,
    ) {
        let rows = Rows::Histograms(rows.into_iter().collect());
        self.add(name, Some(Unit::Seconds), help, rows);
    }

    fn add(&mut self, name: &'static str, unit: Option<Unit>, help: &'static str, rows: Rows) {
        self.families.push(Family {
            name,
            unit,
            help,
            rows,
        });
    }

    /// All of them as text.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn write(self, format: Format) -> Result<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry).map_err(|error| {
            Error::internal(format!("the metrics could not be written: {error}"))
        })?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Text => in_text_format(&text),
        })
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.families {
            let kind = match family.rows {
                Rows::Counters(_) => MetricType::Counter,
                Rows::Gauges(_) => MetricType::Gauge,
                Rows::Histograms(_) => MetricType::Histogram,
            };
            let unit = family.unit.as_ref();
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit, kind)?;
            match &family.rows {
                Rows::Counters(rows) => {
                    for (labels, value) in rows {
                        match labels.is_empty() {
                            true => metric.encode_counter::<NoLabelSet, _, f64>(value, None)?,
                            false => metric
                                .encode_family(labels)?
                                .encode_counter::<NoLabelSet, _, f64>(value, None)?,
                        }
                    }
                }
                Rows::Gauges(rows) => {
                    for (labels, value) in rows {
                        match labels.is_empty() {
                            true => metric.encode_gauge(value)?,
                            false => metric.encode_family(labels)?.encode_gauge(value)?,
                        }
                    }
                }
                Rows::Histograms(rows) => {
                    for (labels, counted) in rows {
                        metric
                            .encode_family(labels)?
                            .encode_histogram::<NoLabelSet>(
                                counted.sum_s,
                                counted.count(),
                                &counted.classes,
                                None,
                            )?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `OpenMetrics` in the older format: a counter's family has the name of its rows, and there are neither units nor an end.
fn in_text_format(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let comment = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(' '));
        match comment {
            Some(("HELP", rest)) => help = rest.split_once(' '),
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, help)) = help.take() {
                    written.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                }
                written.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            Some(("UNIT", _)) => {}
            _ if line == "# EOF" => {}
            _ => {
                written.push_str(line);
                written.push('\n');
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use nvr_base::Durations;
    use std::time::Duration;

    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        let odd = vec![("camera", "a\"b\\c\nd".to_owned())];
        figures.counter(
            "nvrd_recorded",
            Some(Unit::Bytes),
            "What is on disk.",
            [(odd, 12.0)],
        );
        figures.gauge("nvrd_cameras", None, "How many.", [(Vec::new(), 2.0)]);
        let durations = Durations::default();
        durations.add(Duration::from_millis(2));
        figures.durations(
            "nvrd_wait",
            "How long.",
            [(vec![("kind", "read".to_owned())], durations.counted())],
        );
        figures
    }

    #[test]
    fn both_formats_say_the_same() {
        let open = figures().write(Format::OpenMetrics).unwrap();
        expect![[r##"
            # HELP nvrd_recorded_bytes What is on disk.
            # TYPE nvrd_recorded_bytes counter
            # UNIT nvrd_recorded_bytes bytes
            nvrd_recorded_bytes_total{camera="a\"b\\c\nd"} 12.0
            # HELP nvrd_cameras How many.
            # TYPE nvrd_cameras gauge
            nvrd_cameras 2.0
            # HELP nvrd_wait_seconds How long.
            # TYPE nvrd_wait_seconds histogram
            # UNIT nvrd_wait_seconds seconds
            nvrd_wait_seconds_sum{kind="read"} 0.002
            nvrd_wait_seconds_count{kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.0005",kind="read"} 0
            nvrd_wait_seconds_bucket{le="0.001",kind="read"} 0
            nvrd_wait_seconds_bucket{le="0.0025",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.005",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.01",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.025",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.05",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.1",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.25",kind="read"} 1
            nvrd_wait_seconds_bucket{le="0.5",kind="read"} 1
            nvrd_wait_seconds_bucket{le="1.0",kind="read"} 1
            nvrd_wait_seconds_bucket{le="2.5",kind="read"} 1
            nvrd_wait_seconds_bucket{le="10.0",kind="read"} 1
            nvrd_wait_seconds_bucket{le="+Inf",kind="read"} 1
            # EOF
        "##]]
        .assert_eq(&open);
        let text = figures().write(Format::Text).unwrap();
        let changed: Vec<&str> = text.lines().filter(|it| !open.contains(it)).collect();
        expect![[r#"
            # HELP nvrd_recorded_bytes_total What is on disk.
            # TYPE nvrd_recorded_bytes_total counter"#]]
        .assert_eq(&changed.join("\n"));
        assert_eq!(text.lines().count() + 3, open.lines().count());
    }

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let check = |accept: Option<&str>, expect: Format| {
            assert_eq!(Format::of(accept), expect, "{accept:?}");
        };
        check(None, Format::Text);
        check(Some("*/*"), Format::Text);
        check(Some("text/plain;version=0.0.4"), Format::Text);
        check(
            Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            Format::OpenMetrics,
        );
    }
}
