//! What the doctor says of machines that are well, and of such that are not.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn told(text: &str, prepare: impl FnOnce(&Path)) -> (bool, Vec<serde_json::Value>) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nvrd.toml");
    std::fs::write(&config, text).unwrap();
    prepare(folder.path());
    let arguments = DoctorArguments {
        config: Some(config),
        cameras: false,
        json: true,
    };
    let mut out = Vec::new();
    let well = look(&arguments, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
    (well, lines.collect())
}

const GOOD: &str = "[storage]\npath = \"data\"\n[api]\nlisten = \"127.0.0.1:0\"\n[rtsp]\nlisten = \"127.0.0.1:0\"\n\
                    [[camera]]\nname = \"a\"\nuri = \"test://ball\"\npipeline = \"record\"";

#[test]
fn a_machine_that_can_record_has_no_problem() {
    let (well, lines) = told(GOOD, |_| {});
    assert!(well, "{lines:#?}");
    assert_eq!(lines.last().unwrap()["summary"]["problems"], 0);
    for subject in [
        "GStreamer",
        "storage first",
        "database",
        "listeners",
        "pipelines",
    ] {
        let found = lines.iter().find(|line| line["subject"] == subject);
        assert_eq!(found.unwrap()["level"], "ok", "{subject}");
    }
}

#[test]
fn every_problem_comes_with_what_to_do() {
    let check = |text: &str, prepare: &dyn Fn(&Path), subject: &str, says: &str| {
        let (well, lines) = told(text, prepare);
        assert!(!well, "{subject}: {lines:#?}");
        let found = lines.iter().find(|line| line["subject"] == subject);
        let found = found.unwrap_or_else(|| panic!("{subject}: {lines:#?}"));
        assert_eq!(found["level"], "problem", "{found}");
        assert!(found["detail"].as_str().unwrap().contains(says), "{found}");
        assert!(found["advice"].as_str().unwrap().len() > 10, "{found}");
    };
    let nothing: &dyn Fn(&Path) = &|_| {};
    check(
        "[storge]",
        nothing,
        "configuration",
        "did you mean `storage`?",
    );
    let second = format!("{GOOD}\n[[storage.more]]\npath = \"gone\"");
    check(&second, nothing, "storage gone", "no such folder");
    let model = GOOD.replace(
        "\"record\"",
        "\"detect\"\nparams = { model = \"none.onnx\" }",
    );
    check(&model, nothing, "pipelines", "none.onnx does not exist");
    let no_model = |folder: &Path| std::fs::write(folder.join("none.onnx"), "no model").unwrap();
    check(&model, &no_model, "model", "");
    let no_database = |folder: &Path| {
        std::fs::create_dir(folder.join("data")).unwrap();
        std::fs::write(folder.join("data/nvrd.db"), "no database at all").unwrap();
    };
    check(GOOD, &no_database, "database", "nvrd.db");
    let open_key = |folder: &Path| {
        std::fs::create_dir_all(folder.join("data/keys")).unwrap();
        let key = folder.join("data/keys/vault.key");
        std::fs::write(&key, "x").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    check(GOOD, &open_key, "secrets", "vault.key");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let busy = GOOD.replacen("127.0.0.1:0", &address, 1);
    check(&busy, nothing, "api.listen", &address);
}

#[test]
fn cameras_are_called_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nvrd.toml");
    let text = GOOD.replace("test://ball", "rtsp://127.0.0.1:9/none");
    std::fs::write(&config, text).unwrap();
    let look_with = |cameras| {
        let mut out = Vec::new();
        let arguments = DoctorArguments {
            config: Some(config.clone()),
            cameras,
            json: false,
        };
        let well = look(&arguments, &mut out).unwrap();
        (well, String::from_utf8(out).unwrap())
    };
    let (well, text) = look_with(false);
    assert!(well && !text.contains("camera a"), "{text}");
    let (well, text) = look_with(true);
    assert!(
        !well && text.contains("PROBLEM  camera a: main: "),
        "{text}"
    );
    assert!(text.contains("→ see that it is on"), "{text}");
}
