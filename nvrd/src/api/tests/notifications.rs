//! Notifications as clients see them.

use nvr_store::{KeepNotifications, NewNotification};

use super::{NOW_US, World};

fn add(world: &World, count: usize) -> Vec<String> {
    let new: Vec<NewNotification> = (0..count)
        .map(|n| NewNotification {
            event_id: format!("event-{n}"),
            camera: "gate".to_owned(),
            kind: "object".to_owned(),
            label: Some("person".to_owned()),
            text: "person at gate".to_owned(),
        })
        .collect();
    let keep = KeepNotifications {
        age_us: i64::MAX,
        count: 100,
    };
    let rows = world.context.store.add_notifications(&new, keep).unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn they_are_listed_read_and_removed() {
    let world = World::new();
    let ids = add(&world, 3);
    let list = world.json("/api/v1/notifications?limit=2").await;
    assert_eq!((&list["total"], &list["pages"]), (&3.into(), &2.into()));
    assert_eq!(list["unread_count"], 3);
    let first = &list["items"][0];
    assert_eq!(first["id"], ids[2].as_str());
    assert_eq!(first["event_description"], "person at gate");
    assert_eq!(first["thumbnail_url"], "/api/v1/events/event-2/thumbnail");
    assert_eq!(first["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(first["created_unix_us"], NOW_US);
    assert_eq!(first["read"], false);

    let path = format!("/api/v1/notifications/{}", ids[2]);
    let read = world.ask("PATCH", &format!("{path}/read")).await;
    assert_eq!((read.status, &read.json()["read"]), (200, &true.into()));
    let unread = world.json("/api/v1/notifications?unread=true").await;
    assert_eq!(
        (&unread["total"], &unread["unread_count"]),
        (&2.into(), &2.into())
    );
    assert_eq!(world.ask("DELETE", &path).await.status, 204);
    world
        .ask("DELETE", &path)
        .await
        .assert_refused(404, "no notification has the id");

    let all = world
        .ask("PATCH", "/api/v1/notifications/mark-all-read")
        .await;
    assert_eq!(
        all.json(),
        serde_json::json!({"success": true, "updated_count": 2})
    );
    let gone = world.ask("DELETE", "/api/v1/notifications").await;
    assert_eq!(gone.json()["updated_count"], 2);
    assert_eq!(world.json("/api/v1/notifications").await["total"], 0);
    world
        .ask("GET", "/api/v1/notifications?unread=maybe")
        .await
        .assert_refused(400, "unread: \"maybe\": use true or false");
}
