//! The decoders that actix-web brings for its clients. They also see that the plain form is what the others compare with.

use actix_http::encoding::Decoder;
use actix_web::{http::header::ContentEncoding, rt::System};
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream::iter};
use reqwest::{Client, header::ACCEPT_ENCODING};
use ruleiq_compression::Coding;

use super::{Checked, Item, Missing, Site};

pub(super) fn check(site: &Site) -> Result<Checked, Missing> {
    let checking = async {
        let client = Client::builder().no_proxy().build().unwrap();
        let mut bad = Vec::new();
        for item in &site.items {
            if plain(site, &client, item).await != item.body.bytes {
                bad.push(format!("{}?plain", item.path()));
            }
            match encoded(site, &client, item).await {
                Ok(body) if body == item.body.bytes => {}
                Ok(body) => bad.push(format!("{}: {} bytes", item.path(), body.len())),
                Err(error) => bad.push(format!("{}: {error}", item.path())),
            }
        }
        bad
    };
    Ok(Checked {
        codings: Coding::ALL.to_vec(),
        bad: System::new().block_on(checking),
    })
}

async fn plain(site: &Site, client: &Client, item: &Item) -> Bytes {
    let url = format!("http://{}{}?plain", site.address, item.path());
    client.get(url).send().await.unwrap().bytes().await.unwrap()
}

async fn encoded(site: &Site, client: &Client, item: &Item) -> Result<Vec<u8>, String> {
    let url = format!("http://{}{}", site.address, item.path());
    let asked = client
        .get(url)
        .header(ACCEPT_ENCODING, item.coding.as_str());
    let answer = asked.send().await.map_err(|it| it.to_string())?;
    let coding = match answer.headers().get("content-encoding") {
        None => ContentEncoding::Identity,
        Some(coding) => coding.to_str().unwrap().parse().unwrap(),
    };
    let body = answer.bytes().await.map_err(|it| it.to_string())?;
    let decoded = Decoder::new(iter([Ok(body)]), coding);
    let decoded: Result<Vec<Bytes>, _> = decoded.try_collect().await;
    decoded.map(|it| it.concat()).map_err(|it| it.to_string())
}
