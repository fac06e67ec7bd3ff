//! The tables as Diesel sees them; a test compares every column with what the migrations make.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    cameras (name) {
        name -> Text,
        uri -> Text,
        sub_uri -> Nullable<Text>,
        pipeline -> Text,
        params_json -> Text,
        enabled -> Bool,
        username -> Nullable<Text>,
        password -> Nullable<Text>,
        created_us -> BigInt,
        updated_us -> BigInt,
        title -> Nullable<Text>,
    }
}

table! {
    events (id) {
        id -> Text,
        camera -> Text,
        kind -> Text,
        label -> Nullable<Text>,
        state -> Text,
        start_us -> BigInt,
        end_us -> Nullable<BigInt>,
        start_ns -> BigInt,
        end_ns -> Nullable<BigInt>,
        score -> Nullable<Double>,
        box_x -> Nullable<Double>,
        box_y -> Nullable<Double>,
        box_w -> Nullable<Double>,
        box_h -> Nullable<Double>,
        track_id -> Nullable<BigInt>,
        identity -> Nullable<Text>,
        similarity -> Nullable<Double>,
        frames -> BigInt,
        model -> Nullable<Text>,
        pipeline -> Nullable<Text>,
        interrupted -> Bool,
    }
}

table! {
    event_zones (event_id, zone) {
        event_id -> Text,
        zone -> Text,
    }
}

table! {
    event_totals (camera, kind) {
        camera -> Text,
        kind -> Text,
        total -> BigInt,
    }
}

table! {
    event_places (camera, first_us) {
        camera -> Text,
        first_us -> BigInt,
        total -> BigInt,
    }
}

table! {
    segments (id) {
        id -> Text,
        camera -> Text,
        path -> Text,
        start_us -> BigInt,
        end_us -> BigInt,
        frames -> BigInt,
        bytes -> BigInt,
        codec -> Text,
        width -> Integer,
        height -> Integer,
        blake3 -> Nullable<Text>,
        discont -> Bool,
        keyframes_json -> Text,
        storage -> Text,
        protected -> Bool,
        audio -> Nullable<Text>,
        tier -> Integer,
    }
}

table! {
    segment_bounds (camera) {
        camera -> Text,
        longest_us -> BigInt,
    }
}

table! {
    gaps (id) {
        id -> Text,
        camera -> Text,
        start_us -> BigInt,
        end_us -> Nullable<BigInt>,
        reason -> Text,
        detail -> Nullable<Text>,
    }
}

table! {
    settings (key) {
        key -> Text,
        value_json -> Text,
        updated_us -> BigInt,
    }
}

table! {
    storages (id) {
        id -> Text,
        path -> Text,
        first_us -> BigInt,
        seen_us -> BigInt,
    }
}

table! {
    runs (id) {
        id -> Text,
        started_us -> BigInt,
        seen_us -> BigInt,
        ended_us -> Nullable<BigInt>,
        clean -> Bool,
    }
}

table! {
    segment_totals (storage, camera) {
        storage -> Text,
        camera -> Text,
        segments -> BigInt,
        bytes -> BigInt,
    }
}

table! {
    garbage (storage, path) {
        storage -> Text,
        path -> Text,
        id -> Text,
        camera -> Text,
        start_us -> BigInt,
        end_us -> BigInt,
        frames -> BigInt,
        bytes -> BigInt,
        blake3 -> Nullable<Text>,
        reason -> Text,
        since_us -> BigInt,
        tries -> BigInt,
        error -> Nullable<Text>,
    }
}

table! {
    clock_doubt (one) {
        one -> Integer,
        reason -> Text,
        since_us -> BigInt,
    }
}

table! {
    exports (id) {
        id -> Text,
        camera -> Text,
        name -> Nullable<Text>,
        start_us -> BigInt,
        end_us -> BigInt,
        state -> Text,
        created_us -> BigInt,
        finished_us -> Nullable<BigInt>,
        attempts -> BigInt,
        shown_us -> Nullable<BigInt>,
        bytes -> Nullable<BigInt>,
        missing_json -> Text,
        detail -> Nullable<Text>,
    }
}

table! {
    timelapses (id) {
        id -> Text,
        camera -> Text,
        start_us -> BigInt,
        end_us -> BigInt,
        interval_us -> BigInt,
        fps -> BigInt,
        height -> Nullable<BigInt>,
        state -> Text,
        created_us -> BigInt,
        finished_us -> Nullable<BigInt>,
        attempts -> BigInt,
        shown_us -> Nullable<BigInt>,
        pictures -> Nullable<BigInt>,
        bytes -> Nullable<BigInt>,
        detail -> Nullable<Text>,
    }
}

table! {
    event_descriptions (event_id) {
        event_id -> Text,
        description -> Text,
        provider -> Text,
        model -> Text,
        confidence -> Nullable<BigInt>,
        objects_json -> Text,
        tokens -> BigInt,
        cost -> Double,
        response_time_ms -> BigInt,
        created_us -> BigInt,
        count -> BigInt,
    }
}

table! {
    ai_providers (id) {
        id -> Text,
        name -> Text,
        base_url -> Text,
        model -> Text,
        api_key -> Nullable<Text>,
        prompt -> Nullable<Text>,
        rank -> BigInt,
        enabled -> Bool,
        timeout_s -> BigInt,
        max_image_px -> BigInt,
        price_in -> Double,
        price_out -> Double,
        created_us -> BigInt,
        updated_us -> BigInt,
    }
}

table! {
    ai_usage (day, provider) {
        day -> BigInt,
        provider -> Text,
        calls -> BigInt,
        successes -> BigInt,
        tokens -> BigInt,
        cost -> Double,
        duration_ms -> BigInt,
    }
}

table! {
    protect_controllers (id) {
        id -> Text,
        name -> Text,
        host -> Text,
        port -> BigInt,
        username -> Text,
        password -> Text,
        verify_ssl -> Bool,
        wanted -> Bool,
        last_connected_us -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        created_us -> BigInt,
        updated_us -> BigInt,
    }
}

table! {
    protect_cameras (controller_id, protect_camera_id) {
        controller_id -> Text,
        protect_camera_id -> Text,
        camera -> Text,
        created_us -> BigInt,
    }
}

table! {
    users (id) {
        id -> Text,
        name -> Text,
        name_key -> Text,
        display_name -> Nullable<Text>,
        email -> Nullable<Text>,
        role -> Text,
        all_cameras -> Bool,
        active -> Bool,
        must_change_password -> Bool,
        password_hash -> Text,
        digest -> Nullable<Text>,
        totp -> Nullable<Text>,
        totp_pending -> Nullable<Text>,
        totp_step -> Nullable<BigInt>,
        created_us -> BigInt,
        updated_us -> BigInt,
        last_login_us -> Nullable<BigInt>,
    }
}

table! {
    user_cameras (user_id, camera) {
        user_id -> Text,
        camera -> Text,
    }
}

table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        kind -> Text,
        secret_hash -> Text,
        address -> Nullable<Text>,
        agent -> Nullable<Text>,
        created_us -> BigInt,
        seen_us -> BigInt,
        expires_us -> BigInt,
    }
}

table! {
    identity (one) {
        one -> Integer,
        version -> BigInt,
    }
}

table! {
    api_keys (id) {
        id -> Text,
        name -> Text,
        prefix -> Text,
        hash -> Text,
        scopes -> Text,
        all_cameras -> Bool,
        per_minute -> BigInt,
        created_by -> Nullable<Text>,
        created_us -> BigInt,
        expires_us -> Nullable<BigInt>,
        revoked_us -> Nullable<BigInt>,
        uses -> BigInt,
        last_used_us -> Nullable<BigInt>,
        last_used_ip -> Nullable<Text>,
    }
}

table! {
    api_key_cameras (key_id, camera) {
        key_id -> Text,
        camera -> Text,
    }
}

table! {
    audit_log (id) {
        id -> Text,
        at_us -> BigInt,
        actor_kind -> Text,
        actor_id -> Nullable<Text>,
        actor -> Text,
        address -> Nullable<Text>,
        action -> Text,
        method -> Nullable<Text>,
        route -> Nullable<Text>,
        object -> Nullable<Text>,
        status -> Nullable<Integer>,
        refused -> Bool,
        detail -> Nullable<Text>,
    }
}

table! {
    notifications (id) {
        id -> Text,
        event_id -> Text,
        camera -> Text,
        kind -> Text,
        label -> Nullable<Text>,
        text -> Text,
        created_us -> BigInt,
    }
}

table! {
    notification_marks (who, notification_id) {
        who -> Text,
        notification_id -> Text,
        seen -> Bool,
        hidden -> Bool,
    }
}

table! {
    people (id) {
        id -> Text,
        name -> Text,
        category -> Text,
        metadata -> Text,
        created_us -> BigInt,
        updated_us -> BigInt,
    }
}

table! {
    strangers (id) {
        id -> Text,
        camera -> Text,
        first_us -> BigInt,
        last_us -> BigInt,
        sightings -> BigInt,
    }
}

table! {
    faces (id) {
        id -> Text,
        person_id -> Nullable<Text>,
        stranger_id -> Nullable<Text>,
        source -> Text,
        photo -> Nullable<Text>,
        landmarks -> Nullable<Text>,
        model -> Text,
        vector -> Text,
        created_us -> BigInt,
    }
}

joinable!(event_zones -> events (event_id));
joinable!(event_descriptions -> events (event_id));
allow_tables_to_appear_in_same_query!(events, event_zones);
allow_tables_to_appear_in_same_query!(events, event_descriptions);
allow_tables_to_appear_in_same_query!(notifications, notification_marks);
