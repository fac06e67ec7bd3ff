//! Every operation as everybody: who may, who may not, and what is hidden from whom.
//!
//! An operation without a line in [`EXPECTED`] fails: say there what it needs, apart from the table of routes.
#![allow(
    clippy::too_many_lines,
    reason = "a story is easier to follow in one piece"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nvr_store::{NewExport, NewTimelapse};
use serde_json::json;

use super::people::ask;
use super::{Answer, NOW_US, SECOND_US, World};
use crate::api::table;

/// Method, template and need of every operation, as a reviewer wants them.
const EXPECTED: &str = include_str!("matrix.txt");

/// Ends the log-in of whoever may, or takes seconds: only refusals are tried.
const NOT_RUN: &[&str] = &[
    "/api/v1/auth/logout",
    "/api/v1/auth/session",
    "/api/v1/cameras/{camera}/test",
];

/// Their handlers ask who it is themselves, by a ticket too.
const ASKED_INSIDE: &[&str] = &["/ws", "/api/v1/ws", "/api/v1/stream"];

/// Objects of one camera.
struct Objects {
    camera: &'static str,
    event: String,
    segment: String,
    export: String,
    timelapse: String,
}

impl Objects {
    fn make(world: &World, camera: &'static str) -> Self {
        let store = &world.context.store;
        let (start_us, end_us) = (NOW_US, NOW_US + 10 * SECOND_US);
        let export = NewExport {
            camera: camera.to_owned(),
            name: None,
            start_us,
            end_us,
            missing: Vec::new(),
        };
        let timelapse = NewTimelapse {
            camera: camera.to_owned(),
            start_us,
            end_us,
            interval_us: SECOND_US,
            fps: 25,
            height: None,
        };
        Self {
            camera,
            event: world.add_event(1, |event| event.camera = camera.to_owned()),
            segment: world.add_segment_of(camera, 0, b"no video", None),
            export: store.add_export(&export, 100).unwrap().id,
            timelapse: store.add_timelapse(&timelapse, 100).unwrap().id,
        }
    }

    /// What nobody ever made.
    fn missing() -> Self {
        let id = |last: u8| format!("01890a5d-ac96-774b-bcce-b302099a805{last}");
        Self {
            camera: "cam-x",
            event: id(1),
            segment: id(2),
            export: id(3),
            timelapse: id(4),
        }
    }

    fn path(&self, template: &str) -> String {
        let id = match template.split('/').nth(3) {
            Some("events") => &self.event,
            Some("exports") => &self.export,
            Some("timelapses") => &self.timelapse,
            _ => "01890a5d-ac96-774b-bcce-b302099a8057",
        };
        let path = template
            .replace("{camera}", self.camera)
            .replace("{segment_id}", &self.segment)
            .replace("{id}", id);
        let rest = path.split('/').map(|part| match part.starts_with('{') {
            true => "x",
            false => part,
        });
        rest.collect::<Vec<_>>().join("/")
    }

    /// Whether a path of the template names one of these.
    fn in_path(template: &str) -> bool {
        let part = template.split('/').nth(3).unwrap_or_default();
        template.contains("{camera}")
            || (template.contains("{id}") && ["events", "exports", "timelapses"].contains(&part))
    }

    /// The ids and the name, which nobody may see who may not know of the camera.
    fn words(&self) -> [&str; 5] {
        [
            self.camera,
            &self.event,
            &self.segment,
            &self.export,
            &self.timelapse,
        ]
    }
}

struct Who {
    name: String,
    header: Option<(&'static str, String)>,
    may: BTreeSet<&'static str>,
    sees_all: bool,
}

impl Who {
    async fn ask(&self, world: &World, method: &str, path: &str) -> Option<Answer> {
        let header = self
            .header
            .as_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = header.into_iter().collect();
        let body = json!({"surely_unknown": true});
        let body = (method != "GET" && method != "DELETE").then_some(&body);
        let asked = ask(world, method, path, &headers, body);
        // What streams for ever was let in.
        tokio::time::timeout(Duration::from_secs(3), asked)
            .await
            .ok()
    }
}

/// Everybody, the weakest first.
async fn everybody(world: &World) -> Vec<Who> {
    let root = world.root().await;
    let mut all = vec![Who {
        name: "anonymous".to_owned(),
        header: None,
        may: BTreeSet::from(["Public"]),
        sees_all: false,
    }];
    let levels = [
        "Public",
        "Person",
        "SeeEvents",
        "SeeCameras",
        "Operate",
        "Measure",
        "Manage",
    ];
    for (role, levels) in [("viewer", &levels[..4]), ("operator", &levels[..5])] {
        let body = json!({"username": role, "password": super::people::PASSWORD, "role": role, "cameras": ["cam-a"]});
        world.add_user(Some(&root), &body).await;
        let token = world.token(role).await;
        all.push(Who {
            name: role.to_owned(),
            header: Some(("authorization", format!("Bearer {token}"))),
            may: levels.iter().copied().collect(),
            sees_all: false,
        });
    }
    let scopes = [
        ("read:events", &["SeeEvents"][..], false),
        ("read:cameras", &["SeeCameras", "Measure"], false),
        ("write:cameras", &["Operate"], false),
        (
            "admin",
            &["SeeEvents", "SeeCameras", "Operate", "Measure", "Manage"],
            true,
        ),
    ];
    for (scope, levels, sees_all) in scopes {
        let cameras = (!sees_all).then_some(["cam-a"]);
        let body = json!({"name": scope, "scopes": [scope], "cameras": cameras, "rate_limit_per_minute": 10000});
        let (key, _) = world.add_key(&root, &body).await;
        all.push(Who {
            name: format!("key {scope}"),
            header: Some(("x-api-key", key)),
            may: levels.iter().copied().chain(["Public"]).collect(),
            sees_all,
        });
    }
    all.push(Who {
        name: "admin".to_owned(),
        header: Some(("authorization", format!("Bearer {root}"))),
        may: levels.into_iter().collect(),
        sees_all: true,
    });
    all.sort_by_key(|who| who.sees_all);
    all
}

fn expected() -> BTreeMap<(String, String), String> {
    let lines = EXPECTED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [method, template, need] = words[..] else {
                panic!("{line}: method, path and need");
            };
            ((method.to_owned(), template.to_owned()), need.to_owned())
        })
        .collect()
}

#[test]
fn every_operation_has_its_line() {
    let world = World::new();
    let table = table(world.context.clone());
    let rows = table.rows().iter();
    let routes: BTreeMap<(String, String), String> = rows
        .map(|(method, template, need)| {
            (
                (method.to_string(), (*template).to_owned()),
                format!("{need:?}"),
            )
        })
        .collect();
    let expected = expected();
    for (route, need) in &routes {
        let line = format!("{} {} {need}", route.0, route.1);
        assert_eq!(
            expected.get(route),
            Some(need),
            "matrix.txt lacks or contradicts: {line}"
        );
    }
    for route in expected.keys() {
        assert!(
            routes.contains_key(route),
            "matrix.txt has a line too many: {route:?}"
        );
    }
}

#[tokio::test]
async fn everybody_may_what_they_should_and_sees_what_is_theirs() {
    let world = World::new();
    for name in ["cam-a", "cam-b"] {
        let camera = json!({"name": name, "uri": "test://ball", "enabled": false});
        assert_eq!(
            world.send("POST", "/api/v1/cameras", &camera).await.status,
            201
        );
    }
    let (a, b, none) = (
        Objects::make(&world, "cam-a"),
        Objects::make(&world, "cam-b"),
        Objects::missing(),
    );
    let everybody = everybody(&world).await;
    let mut operations: Vec<_> = expected().into_iter().collect();
    // What is deleted comes last.
    operations.sort_by_key(|((method, _), _)| method == "DELETE");
    let mut problems = Vec::new();
    let mut asked = 0;
    for ((method, template), need) in &operations {
        for who in &everybody {
            let may = who.may.contains(need.as_str());
            let named = Objects::in_path(template);
            for objects in [&b, &a] {
                // Once is enough where the path names no camera.
                if (may && NOT_RUN.contains(&template.as_str()))
                    || (!named && objects.camera == "cam-b")
                {
                    continue;
                }
                let hidden = objects.camera == "cam-b" && !who.sees_all;
                let path = objects.path(template);
                asked += 1;
                let Some(answer) = who.ask(&world, method, &path).await else {
                    if !may || (named && hidden) {
                        problems.push(format!("{} {method} {path}: let in", who.name));
                    }
                    continue;
                };
                let right = match (may, named && hidden) {
                    (false, _) if who.header.is_none() => answer.status == 401,
                    (false, _) => answer.status == 403,
                    (true, true) => answer.status == 404,
                    // Also what is wrong with the request, or with a file: it was let in to be looked at.
                    (true, false) => {
                        ![401, 403].contains(&answer.status)
                            || template.ends_with("setup")
                            || ASKED_INSIDE.contains(&template.as_str())
                    }
                };
                if !right {
                    problems.push(format!(
                        "{} {method} {path}: {} {}",
                        who.name,
                        answer.status,
                        answer.text()
                    ));
                }
                if may && named && hidden {
                    let unknown = who.ask(&world, method, &none.path(template)).await;
                    let mut words = unknown.map(|answer| answer.text()).unwrap_or_default();
                    for (theirs, ours) in none.words().into_iter().zip(b.words()) {
                        words = words.replace(theirs, ours);
                    }
                    if words != answer.text() {
                        let told = answer.text();
                        problems.push(format!(
                            "{} {method} {path}: {told} where nothing is {words}",
                            who.name
                        ));
                    }
                } else if !who.sees_all && answer.status == 200 && method == "GET" {
                    let text = answer.text();
                    let told: Vec<&str> = b
                        .words()
                        .into_iter()
                        .filter(|word| text.contains(word))
                        .collect();
                    if !told.is_empty() {
                        problems.push(format!("{} GET {path} tells of {told:?}", who.name));
                    }
                }
            }
            // The segment of a hidden camera below one that may be known.
            if template.contains("{segment_id}") && who.may.contains(need.as_str()) && !who.sees_all
            {
                let mixed = template
                    .replace("{camera}", "cam-a")
                    .replace("{segment_id}", &b.segment);
                let answer = who.ask(&world, method, &mixed).await.unwrap();
                if answer.status != 404 {
                    problems.push(format!("{} {method} {mixed}: {}", who.name, answer.status));
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {asked}:\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert!(asked > 500, "{asked}");
}

#[tokio::test]
async fn a_body_names_no_camera_that_is_hidden() {
    let world = World::new();
    for name in ["cam-a", "cam-b"] {
        let camera = json!({"name": name, "uri": "test://ball", "enabled": false});
        assert_eq!(
            world.send("POST", "/api/v1/cameras", &camera).await.status,
            201
        );
        world.add_segment_of(name, 0, b"no video", None);
    }
    let everybody = everybody(&world).await;
    let operator = everybody.iter().find(|who| who.name == "operator").unwrap();
    let (name, value) = operator.header.as_ref().unwrap();
    let start = NOW_US as f64 / 1e6;
    for (path, more) in [
        ("/api/v1/exports", json!({})),
        ("/api/v1/timelapses", json!({"interval_s": 1})),
    ] {
        let mut said = Vec::new();
        for camera in ["cam-b", "cam-x"] {
            let mut body = json!({"camera": camera, "start_unix": start, "end_unix": start + 5.0});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let answer = ask(&world, "POST", path, &[(name, value)], Some(&body)).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
            said.push(answer.text().replace("cam-x", "cam-b"));
        }
        assert_eq!(said[0], said[1], "{path}");
    }
}
