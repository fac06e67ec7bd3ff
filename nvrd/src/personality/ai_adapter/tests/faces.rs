//! People by their faces: registered, recognised, compared and forgotten, with real models where they lie beside the
//! project.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nvr_base::Principal;
use nvr_store::{PageRequest, Store};
use serde_json::{Value, json};

use super::super::catalogue;
use super::{Shop, fits};
use crate::api::tests::World;
use crate::config::FacesConfig;
use crate::faces::Faces;

/// Everything that tells faces apart.
pub(super) const TASKS: [&str; 4] = [
    "face_embedding",
    "face_recognition",
    "face_verify",
    "watchlist_check",
];

fn shared(file: &str) -> Option<PathBuf> {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("NVRD_SHARED").map_or(beside, PathBuf::from);
    Some(root.join(file)).filter(|path| path.is_file())
}

/// A shop with models of faces; `None`, told, where there are none.
fn knowing() -> Option<Shop> {
    let library = std::env::var_os("ORT_DYLIB_PATH").is_some();
    let config = FacesConfig {
        detector: shared("models/yunet_n_320_320.onnx"),
        embedder: shared("models/mobilefacenet_paddlex_128.onnx"),
        ..FacesConfig::default()
    };
    if config.detector.is_none() || config.embedder.is_none() || !library {
        println!("SKIP: no models of faces, or no ONNX Runtime");
        return None;
    }
    let world = World::new();
    let context = world.context.as_ref().clone();
    let faces = Faces::new(
        &config,
        store_of(&world),
        std::sync::Arc::clone(&context.storage),
        std::sync::Arc::clone(&context.clock),
    );
    let context = context.with_faces(std::sync::Arc::new(faces));
    let models = tempfile::tempdir().unwrap();
    Some(Shop::over(world, context, models, |_, _| ()))
}

fn store_of(world: &World) -> Store {
    world.context.store.clone()
}

impl Shop {
    /// Leaves a photo of the shared media.
    async fn photo(&self, name: &str) -> String {
        let bytes = std::fs::read(shared(&format!("media/faces/{name}")).unwrap()).unwrap();
        let answer = self
            .post(&format!("/frames/gate/{name}"), "image/jpeg", bytes)
            .await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
        format!("opennvr://frames/gate/{name}")
    }

    async fn register(&self, body: Value) -> Value {
        let path = "/faces/register";
        let answer = self.post(path, "application/json", body.to_string()).await;
        answer.json()
    }

    /// An answer that has exactly the keys of its task's schema.
    async fn told(&self, task: &str, input: Value) -> Value {
        let answer = self
            .infer(&json!({ "task": task, "input": input }))
            .await
            .json();
        let tasks = catalogue::tasks();
        let schema = tasks.iter().find(|it| it.name == task).unwrap().schema();
        fits(&schema["schema"], &answer).unwrap_or_else(|why| panic!("{task}: {why}: {answer}"));
        answer
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the first to the last request"
)]
async fn people_are_registered_recognised_and_forgotten() {
    let Some(shop) = knowing() else { return };
    let obama = shop.photo("obama_1.jpg").await;
    let again = shop.photo("obama_2.jpg").await;
    let biden = shop.photo("biden_1.jpg").await;
    let group = shop.photo("group_two_people.jpg").await;
    shop.leave("empty.jpg", 90).await;
    let empty = "opennvr://frames/gate/empty.jpg";
    let frame = |uri: &str| json!({ "frame": { "uri": uri } });

    let done = shop
        .register(
            json!({ "frame": { "uri": obama }, "person_id": "emp_001", "name": " Xyzzy Doe ",
            "category": "watchlist", "metadata": { "desk": 7 } }),
        )
        .await;
    assert_eq!(
        (&done["success"], &done["name"]),
        (&json!(true), &json!("Xyzzy Doe"))
    );
    for (picture, why) in [(empty, "No face"), (group.as_str(), "2 faces")] {
        let refused = shop
            .register(json!({ "frame": { "uri": picture }, "person_id": "x", "name": "X" }))
            .await;
        assert_eq!(refused["success"], false);
        assert!(
            refused["message"].as_str().unwrap().contains(why),
            "{refused}"
        );
    }
    let listed = shop.get("/faces/list?category=watchlist").await.json();
    assert_eq!(listed["total_count"], 1);
    assert_eq!(listed["faces"][0]["person_id"], "emp_001");
    assert_eq!(
        shop.get("/faces/list?category=vip").await.json()["total_count"],
        0
    );
    assert_eq!(
        shop.get("/faces/emp_001").await.json()["metadata"]["desk"],
        7
    );

    let who = shop.told("face_recognition", frame(&again)).await;
    assert_eq!(
        (&who["recognized"], &who["person_id"]),
        (&json!(true), &json!("emp_001"))
    );
    assert!(who["similarity"].as_f64().unwrap() > 0.5, "{who}");
    let nobody = shop.told("face_recognition", frame(&biden)).await;
    assert_eq!(nobody["recognized"], false);
    let none = shop.told("face_recognition", frame(empty)).await;
    assert!(
        none["message"].as_str().unwrap().contains("No face"),
        "{none}"
    );
    let watched = shop.told("watchlist_check", frame(&again)).await;
    assert_eq!(watched["is_on_watchlist"], true);
    assert_eq!(
        shop.told("watchlist_check", frame(&biden)).await["is_on_watchlist"],
        false
    );
    let same = json!({ "frame1": { "uri": obama }, "frame2": { "uri": again } });
    assert_eq!(shop.told("face_verify", same).await["is_same_person"], true);
    let other = json!({ "frame1": { "uri": obama }, "frame2": { "uri": biden } });
    assert_eq!(
        shop.told("face_verify", other).await["is_same_person"],
        false
    );
    let vector = shop.told("face_embedding", frame(&obama)).await;
    assert_eq!(vector["embedding"].as_array().unwrap().len(), 128);
    let steps = json!({ "steps": ["face_detection", "face_recognition"], "data": frame(&again) });
    let run = shop
        .post("/pipeline/run", "application/json", steps.to_string())
        .await
        .json();
    assert_eq!(
        run["results"]["face_recognition"]["person_id"], "emp_001",
        "{run}"
    );

    let folder = shop.context.storage.faces();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let gone = shop
        .reply(
            warp::test::request()
                .method("DELETE")
                .path("/faces/emp_001"),
        )
        .await;
    assert_eq!(gone.json()["success"], true);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    shop.get("/faces/emp_001")
        .await
        .assert_refused(404, "emp_001 not found");
    assert_eq!(
        shop.told("face_recognition", frame(&again)).await["recognized"],
        false
    );
    let page = PageRequest { page: 1, limit: 9 };
    assert_eq!(
        shop.world
            .context
            .store
            .people(&Principal::local(), None, page)
            .unwrap()
            .total,
        0
    );
}

#[tokio::test]
async fn the_api_enrols_from_photos_finds_and_forgets() {
    let Some(shop) = knowing() else { return };
    let routes = crate::api::routes(std::sync::Arc::new(shop.context.clone()));
    let ask = async |method: &str, path: &str, body: Value| {
        let request = warp::test::request().method(method).path(path).json(&body);
        let reply = request.reply(&routes).await;
        let json: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
        (reply.status().as_u16(), json)
    };
    let photo = |name: &str| {
        let bytes = std::fs::read(shared(&format!("media/faces/{name}")).unwrap()).unwrap();
        STANDARD.encode(bytes)
    };
    let new =
        |id: &str, name: &str| json!({ "person_id": id, "image": photo(name), "category": "vip" });
    let (status, made) = ask("POST", "/api/v1/faces", new("obama", "obama_1.jpg")).await;
    assert_eq!((status, &made["face_count"]), (201, &json!(1)), "{made}");
    let (status, made) = ask("POST", "/api/v1/faces", new("obama", "obama_3.jpg")).await;
    assert_eq!(
        (status, &made["face_count"], &made["category"]),
        (201, &json!(2), &json!("vip"))
    );
    let url = made["faces"][0]["photo_url"].as_str().unwrap();
    let reply = warp::test::request().path(url).reply(&routes).await;
    assert_eq!(
        (reply.status().as_u16(), &reply.body()[..2]),
        (200, &b"\xff\xd8"[..])
    );

    let (status, said) = ask("POST", "/api/v1/faces", new("x", "group_two_people.jpg")).await;
    assert_eq!(status, 400);
    assert!(
        said["detail"]
            .as_str()
            .unwrap()
            .starts_with("image: 2 faces"),
        "{said}"
    );
    let (status, said) = ask("POST", "/api/v1/faces", new("a b", "obama_1.jpg")).await;
    assert_eq!(status, 400);
    assert!(
        said["detail"].as_str().unwrap().starts_with("person_id"),
        "{said}"
    );

    let query = json!({ "image": photo("obama_2.jpg") });
    let (status, found) = ask("POST", "/api/v1/faces/search", query).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["faces"][0]["matches"][0]["person_id"], "obama");
    let change = json!({ "name": "Barack", "category": "visitor" });
    let (_, changed) = ask("PATCH", "/api/v1/faces/obama", change).await;
    assert_eq!(
        (&changed["name"], &changed["category"]),
        (&json!("Barack"), &json!("visitor"))
    );
    let (_, listed) = ask("GET", "/api/v1/faces?category=visitor", json!(null)).await;
    assert_eq!(listed["total"], 1);
    assert_eq!(
        ask("DELETE", "/api/v1/faces/obama", json!(null)).await.0,
        204
    );
    assert_eq!(ask("GET", "/api/v1/faces/obama", json!(null)).await.0, 404);
    assert_eq!(
        std::fs::read_dir(shop.context.storage.faces())
            .unwrap()
            .count(),
        0
    );
    let (_, strangers) = ask("GET", "/api/v1/strangers", json!(null)).await;
    assert_eq!(strangers["total"], 0);
    assert_eq!(
        ask("DELETE", "/api/v1/strangers/stranger-1", json!(null))
            .await
            .0,
        404
    );
}
