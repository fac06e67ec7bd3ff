//! The head of a chain as clients see it.

use super::World;
use crate::evidence::tests_support::row;

#[tokio::test]
async fn the_head_follows_the_chain() {
    let world = World::new();
    for (name, why) in [
        ("gate", "there is no chain"),
        ("%2e%2e%2fgate", "no camera is called"),
    ] {
        let answer = world.ask("GET", &format!("/api/v1/evidence/{name}")).await;
        answer.assert_refused(404, why);
    }
    let evidence = world.context.evidence.clone().unwrap();
    for (n, expect) in [(0, 1), (1, 2)] {
        evidence.recorded(&[row("gate", n)], None).unwrap();
        let head = world.json("/api/v1/evidence/gate").await;
        assert_eq!(head["seq"], expect);
        assert_eq!(head["entries"], expect);
        assert_eq!(head["link"].as_str().unwrap().len(), 64);
        assert_eq!(head["signature"].as_str().unwrap().len(), 128);
        assert!(
            head["public_key"]
                .as_str()
                .unwrap()
                .starts_with("-----BEGIN PUBLIC KEY-----")
        );
    }
}
