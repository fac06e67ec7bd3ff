//! Settings and the configuration file, changed while the daemon runs.

use serde_json::{Value, json};

use super::{FILE, World};

const PATH: &str = "/api/v1/system/settings";
const RELOAD: &str = "/api/v1/system/reload";

impl World {
    /// Writes the configuration file anew.
    fn rewrite(&self, text: &str) {
        std::fs::write(self.folder.path().join("nvrd.toml"), text).unwrap();
    }

    async fn put(&self, body: Value) -> Value {
        let answer = self.send("PUT", PATH, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

#[tokio::test]
async fn settings_are_changed_tried_and_kept() {
    let world = World::new();
    let before = world.json(PATH).await;
    assert_eq!(before["system_name"], "nvrd");
    assert_eq!(before["retention"]["event_days"], Value::Null);
    assert_eq!(before["export"]["keep_days"], 7);
    assert_eq!(before["read_only"], json!([]));
    assert_eq!(before["file"], json!({ "storage.path": "." }));

    let change = json!({ "system_name": "Yard", "retention": { "event_days": 90.5 }, "export": { "keep_days": 3 } });
    let answer = world.send("POST", &format!("{PATH}/diff"), &change).await;
    let told = answer.json();
    let paths: Vec<&str> = told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        ["export.keep_days", "retention.event_days", "system_name"]
    );
    assert_eq!(told["changes"][0]["before"], 7);
    assert_eq!(told["changes"][0]["after"], 3);
    assert_eq!(world.json(PATH).await, before, "a try changes nothing");

    let after = world.put(change).await;
    assert_eq!(after["system_name"], "Yard");
    assert_eq!(after["retention"]["event_days"], 90.5);
    assert_eq!(world.json(PATH).await, after);
    // In force, and in the database.
    assert_eq!(world.context.exports.config().keep_days, 3);
    let policy = world.json("/api/v1/storage/policy").await;
    assert_eq!(policy["retention"]["event_days"], 90.5, "{policy}");
    assert_eq!(
        world.context.store.settings().unwrap()["system_name"],
        "\"Yard\""
    );

    let back = world
        .put(json!({ "system_name": null, "retention": { "event_days": null } }))
        .await;
    assert_eq!(back["system_name"], "nvrd");
    assert_eq!(back["retention"]["event_days"], Value::Null);
    assert_eq!(back["export"]["keep_days"], 3);
}

#[tokio::test]
async fn wrong_settings_are_refused_whole() {
    let world = World::new();
    let before = world.json(PATH).await;
    for (body, says) in [
        (json!({ "timezone": "Mars/Base" }), "timezone: "),
        (
            json!({ "system_name": "Yard", "time_format": "13h" }),
            "time_format: ",
        ),
        (
            json!({ "retention": { "event_days": -1 } }),
            "retention.event_days: ",
        ),
        (
            json!({ "retention": { "event_days": "x" } }),
            "retention.event_days: ",
        ),
        (
            json!({ "export": { "keep_days": 0 } }),
            "export.keep_days: ",
        ),
        (json!({ "export": { "keep": 1 } }), "unknown field `keep`"),
        (json!({ "log": { "filter": "a=b=c" } }), "log.filter: "),
        (
            json!({ "storage": { "path": "x" } }),
            "unknown field `storage`",
        ),
        (json!({ "system_name": 5 }), "system_name: "),
    ] {
        for (method, path) in [("PUT", PATH), ("POST", "/api/v1/system/settings/diff")] {
            let answer = world.send(method, path, &body).await;
            let detail = answer.json()["detail"].clone();
            assert_eq!(answer.status, 400, "{body}: {detail}");
            assert!(detail.as_str().unwrap().contains(says), "{body}: {detail}");
        }
    }
    assert_eq!(world.json(PATH).await, before);
}

#[tokio::test]
async fn what_stands_in_the_file_is_changed_there() {
    let world = World::new();
    world
        .put(json!({ "export": { "keep_days": 3, "queue": 9 } }))
        .await;
    world.rewrite(&format!("{FILE}\n[export]\nkeep_days = 5\n"));
    let done = world.send("POST", RELOAD, &json!({})).await.json();
    assert_eq!(done["applied"], true);
    assert_eq!(done["changes"][0]["path"], "export.keep_days", "{done}");
    let now = world.json(PATH).await;
    assert_eq!(now["export"]["keep_days"], 5, "the file goes first");
    assert_eq!(now["export"]["queue"], 9);
    assert_eq!(now["read_only"], json!(["export.keep_days"]));
    let answer = world
        .send("PUT", PATH, &json!({ "export": { "keep_days": 4 } }))
        .await;
    answer.assert_refused(409, "export.keep_days: stands in ");
    // Without the key in the file what was set before holds again.
    world.rewrite(FILE);
    world.send("POST", RELOAD, &json!({})).await;
    assert_eq!(world.json(PATH).await["export"]["keep_days"], 3);
}

#[tokio::test]
async fn the_file_is_read_anew_whole_or_not_at_all() {
    let world = World::new();
    let text = FILE.replace("main\"", "other\"") // another stream of the gate
        + "\n[retention]\nmotion_days = 4\n[api]\nlisten = \"127.0.0.1:9\"\n[log]\nformat = \"json\"\n\
           [[camera]]\nname = \"yard\"\nuri = \"test://ball\"\nenabled = false\n";
    world.rewrite(&text);
    let tried = world
        .send("POST", RELOAD, &json!({ "dry_run": true }))
        .await
        .json();
    assert_eq!(tried["applied"], false);
    assert_eq!(tried["cameras_added"], json!(["yard"]));
    assert_eq!(world.ask("GET", "/api/v1/cameras/yard").await.status, 404);

    let done = world.ask("POST", RELOAD).await.json();
    assert_eq!(done["cameras_added"], json!(["yard"]), "{done}");
    assert_eq!(done["cameras_changed"], json!(["gate"]));
    assert_eq!(done["needs_restart"], json!(["api.listen", "log.format"]));
    assert!(!done.to_string().contains("file-secret"), "{done}");
    assert_eq!(world.json("/api/v1/cameras/yard").await["name"], "yard");
    let policy = world.json("/api/v1/storage/policy").await;
    assert_eq!(policy["retention"]["motion_days"], 4.0);

    // What waits for a restart is told as long as there was none; the rest is told once.
    let again = world.ask("POST", RELOAD).await.json();
    assert_eq!(again["cameras_changed"], json!([]));
    assert_eq!(again["needs_restart"], json!(["api.listen", "log.format"]));
    assert_eq!(again["changes"].as_array().unwrap().len(), 2, "{again}");

    world.rewrite(
        &text
            .replace("test://ball", "ftp://x")
            .replace("\"json\"", "\"xml\""),
    );
    let answer = world.ask("POST", RELOAD).await;
    answer.assert_refused(400, "unknown variant `xml`");
    world.rewrite(
        &text
            .replace("test://ball", "ftp://x")
            .replace("motion_days = 4", "motion_days = 9"),
    );
    let answer = world.ask("POST", RELOAD).await;
    answer.assert_refused(400, "camera \"yard\": uri: ftp:// is not spoken");
    let policy = world.json("/api/v1/storage/policy").await;
    assert_eq!(
        policy["retention"]["motion_days"], 4.0,
        "nothing is half done"
    );

    world.rewrite(FILE);
    let done = world.ask("POST", RELOAD).await.json();
    assert_eq!(done["cameras_removed"], json!(["yard"]));
    assert_eq!(done["needs_restart"], json!([]));
}
