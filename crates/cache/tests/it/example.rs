//! The example does what it says.

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/lookup.rs"]
mod lookup;

use crate::place::Place;

#[tokio::test]
async fn the_example_asks_the_slow_way_once() {
    let place = Place::new().await;
    let asked = lookup::look_up_twice(place.redis.url(), place.redis.prefix());
    assert_eq!(asked.await.unwrap(), 1);
}
