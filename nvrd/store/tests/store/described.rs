//! Descriptions of events, those who make them, and what that costs.

use nvr_base::{ErrorKind, Principal};
use nvr_store::{AiUsage, Change, MAX_AI_PROVIDERS, NewAiProvider, NewDescription, Store};

use crate::support::{EVIL, TestStore, event, step};

/// An event that is over.
fn closed(store: &Store, id: &str) -> String {
    let step = step(Change::Closed, event(id, 0));
    store.apply_event(&step).unwrap();
    id.to_owned()
}

fn answer(description: &str) -> NewDescription {
    NewDescription {
        description: description.to_owned(),
        provider: "local".to_owned(),
        model: "llava".to_owned(),
        confidence: Some(85),
        objects: vec!["person".to_owned()],
        tokens: 812,
        cost: 0.000_25,
        response_time_ms: 1200,
    }
}

fn provider(name: &str) -> NewAiProvider {
    NewAiProvider {
        name: name.to_owned(),
        base_url: "https://10.0.0.7/v1".to_owned(),
        model: "llava".to_owned(),
        api_key: Some("sealed".to_owned()),
        prompt: None,
        enabled: true,
        timeout_s: 30,
        max_image_px: 1024,
        price_in: 0.15,
        price_out: 0.6,
    }
}

#[test]
fn the_newest_answer_stays_and_all_are_counted() {
    let test = TestStore::new();
    let store = &test.store;
    let ids = ["a", "b", "c"].map(|id| closed(store, id));
    assert_eq!(
        store
            .describe_event("zzz", &answer("x"))
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
    for (count, text) in EVIL.iter().filter(|text| !text.contains('\0')).enumerate() {
        test.clock.advance(std::time::Duration::from_secs(1));
        let kept = store.describe_event(&ids[0], &answer(text)).unwrap();
        assert_eq!(kept.count as usize, count + 1);
        assert_eq!(kept.answer, answer(text));
        assert_eq!(kept.created_us, store.now_unix_us());
    }
    let kept = store.describe_event(&ids[1], &answer("a cat")).unwrap();
    let found = store.event_descriptions(&ids).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[&ids[1]], kept);
    assert!(!found.contains_key(&ids[2]));

    let bad = NewDescription {
        cost: f64::NAN,
        ..answer("x")
    };
    let error = store.describe_event(&ids[0], &bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_description_goes_with_its_event() {
    let test = TestStore::new();
    let id = closed(&test.store, "a");
    test.store.describe_event(&id, &answer("a cat")).unwrap();
    assert_eq!(test.store.recent_descriptions(None, 5).unwrap().len(), 1);
    assert_eq!(
        test.store
            .recent_descriptions(Some("front"), 5)
            .unwrap()
            .len(),
        1
    );
    assert!(
        test.store
            .recent_descriptions(Some("gate"), 5)
            .unwrap()
            .is_empty()
    );
    test.store.delete_event(Principal::system(), &id).unwrap();
    assert!(test.store.event_descriptions(&[id]).unwrap().is_empty());
    assert!(test.store.recent_descriptions(None, 5).unwrap().is_empty());
}

#[test]
fn providers_keep_an_order_without_holes() {
    let test = TestStore::new();
    let store = &test.store;
    let order = || -> Vec<(String, u32)> {
        let rows = store.ai_providers().unwrap();
        rows.into_iter()
            .map(|row| (row.provider.name, row.rank))
            .collect()
    };
    let expect = |names: &[&str]| {
        let expect: Vec<(String, u32)> = names
            .iter()
            .zip(0..)
            .map(|(name, rank)| ((*name).to_owned(), rank))
            .collect();
        assert_eq!(order(), expect);
    };
    let a = store.insert_ai_provider(&provider("a"), None).unwrap();
    let b = store.insert_ai_provider(&provider("b"), None).unwrap();
    store.insert_ai_provider(&provider("c"), Some(0)).unwrap();
    expect(&["c", "a", "b"]);
    assert_eq!(
        store
            .insert_ai_provider(&provider("a"), None)
            .unwrap_err()
            .kind(),
        ErrorKind::AlreadyExists
    );
    store
        .update_ai_provider(&b.id, &provider("b2"), Some(1))
        .unwrap();
    expect(&["c", "b2", "a"]);
    store
        .update_ai_provider(&a.id, &provider("a"), None)
        .unwrap();
    assert_eq!(
        store
            .update_ai_provider(&a.id, &provider("c"), None)
            .unwrap_err()
            .kind(),
        ErrorKind::AlreadyExists
    );
    store.delete_ai_provider(&b.id).unwrap();
    expect(&["c", "a"]);
    assert_eq!(
        store.delete_ai_provider(&b.id).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(store.ai_provider(&a.id).unwrap().provider, provider("a"));
    for more in 2..MAX_AI_PROVIDERS {
        store
            .insert_ai_provider(&provider(&format!("m{more}")), None)
            .unwrap();
    }
    assert_eq!(
        store
            .insert_ai_provider(&provider("last"), None)
            .unwrap_err()
            .kind(),
        ErrorKind::ResourceExhausted
    );
}

#[test]
fn usage_is_summed_by_day_and_provider() {
    let test = TestStore::new();
    let store = &test.store;
    let today = store.now_unix_us() / 86_400_000_000;
    let call = |provider: &str, success: bool| AiUsage {
        provider: provider.to_owned(),
        calls: 1,
        successes: u64::from(success),
        tokens: 100,
        cost: 0.5,
        duration_ms: 20,
        ..AiUsage::default()
    };
    store.count_ai_call(&call("a", true)).unwrap();
    store.count_ai_call(&call("a", false)).unwrap();
    store.count_ai_call(&call("b", true)).unwrap();
    test.clock.advance(std::time::Duration::from_secs(86_400));
    store.count_ai_call(&call("a", true)).unwrap();

    let first = store.ai_usage(today, today).unwrap();
    let names: Vec<&str> = first.iter().map(|sum| sum.provider.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        (first[0].calls, first[0].successes, first[0].tokens),
        (2, 1, 200)
    );
    assert_eq!((first[0].cost, first[0].duration_ms), (1.0, 40));
    assert_eq!(store.ai_usage(today, today + 1).unwrap()[0].calls, 3);
    assert_eq!(store.ai_usage(0, today - 1).unwrap(), []);

    // However many names there are, a day has a bounded number of rows, and no call is lost.
    for number in 0..200 {
        store
            .count_ai_call(&call(&format!("n{number}"), true))
            .unwrap();
    }
    let rows = store.ai_usage(today + 1, today + 1).unwrap();
    assert!(rows.len() <= 65, "{}", rows.len());
    assert_eq!(rows.iter().map(|row| row.calls).sum::<u64>(), 201);

    // What is older than ten years goes.
    test.clock
        .advance(std::time::Duration::from_secs(86_400 * 4000));
    store.count_ai_call(&call("a", true)).unwrap();
    assert_eq!(store.ai_usage(0, today + 1).unwrap(), []);
}
