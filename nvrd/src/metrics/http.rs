//! How many requests there were, how they ended, and how long it took until their answers began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use nvr_base::Durations;

use super::{Figures, Labels};

/// Methods that are told apart; whatever else clients think of is the last.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// Classes of status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What was counted since the start, over all listeners.
#[derive(Debug, Default)]
pub(crate) struct Http {
    requests: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    took: [Durations; CLASSES.len()],
}

impl Http {
    /// Counts a request whose answer begins.
    pub(crate) fn count(&self, method: &Method, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let known = METHODS.iter().position(|name| *name == method.as_str());
        let method = known.unwrap_or(METHODS.len() - 1);
        self.requests[method][class].fetch_add(1, Ordering::Relaxed);
        self.took[class].add(took);
    }

    /// Adds what was counted; what never happened has no row.
    pub(crate) fn figures(&self, figures: &mut Figures) {
        let mut rows: Vec<(Labels, f64)> = Vec::new();
        for (method, classes) in METHODS.iter().zip(&self.requests) {
            for (class, count) in CLASSES.iter().zip(classes) {
                let count = count.load(Ordering::Relaxed);
                let labels = vec![
                    ("method", (*method).to_owned()),
                    ("class", (*class).to_owned()),
                ];
                if count > 0 {
                    rows.push((labels, count as f64));
                }
            }
        }
        figures.counter(
            "nvrd_http_requests",
            None,
            "Requests, by method and class of their status.",
            rows,
        );
        let took = CLASSES.iter().zip(&self.took);
        let took = took.map(|(class, took)| (*class, took.counted()));
        let rows = took
            .filter(|(_, counted)| counted.count() > 0)
            .map(|(class, counted)| (vec![("class", class.to_owned())], counted));
        figures.durations(
            "nvrd_http_request_duration",
            "Time from a request's header until its answer begins, by class of status.",
            rows,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn requests_are_counted_by_method_and_class() {
        let http = Http::default();
        let count = |method: &str, status: u16| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            http.count(&method, status, Duration::from_millis(3));
        };
        for (method, status) in [("GET", 200), ("GET", 204), ("PURGE", 405), ("POST", 999)] {
            count(method, status);
        }
        let mut figures = Figures::default();
        http.figures(&mut figures);
        let text = figures.write(Format::Text).unwrap();
        for line in [
            "nvrd_http_requests_total{method=\"GET\",class=\"2xx\"} 2",
            "nvrd_http_requests_total{method=\"other\",class=\"4xx\"} 1",
            "nvrd_http_requests_total{method=\"POST\",class=\"5xx\"} 1",
            "nvrd_http_request_duration_seconds_count{class=\"2xx\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("PURGE"), "{text}");
    }
}
