//! Where images come from: they are on this machine, or their registry has them; and whether they fit their part.

use std::{io, time::Duration};

use testcontainers::{GenericImage, bollard::Docker, runners::AsyncRunner};
use tokio::time::timeout;

use super::{
    docker::{connect, refused},
    images::{Image, Images, Part},
};
use crate::environment::EnvironmentError;

/// A registry that takes longer to say whether it has an image is not asked for it.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// Asks whether containers of `images` can be had: a daemon answers, and each image is on its machine or in its registry.
/// Nothing is pulled.
///
/// # Errors
/// The first thing that is missing.
pub async fn can_be_had(images: &Images) -> Result<(), EnvironmentError> {
    can_be_had_from(&connect().await?, images).await
}

async fn can_be_had_from(client: &Docker, images: &Images) -> Result<(), EnvironmentError> {
    for (word, part) in Part::ALL {
        let image = images.of(part);
        let asked = timeout(TOLD_WITHIN, is_supplied(client, &image)).await;
        let answer = asked.unwrap_or_else(|_| Err(Box::new(io::Error::from(io::ErrorKind::TimedOut))));
        answer.map_err(|source| EnvironmentError::Docker {
            what: format!("the image {image} for {word} is not on this machine, and no registry tells that it can be pulled"),
            help: format!(
                "{}; `--env containers` tries to pull it all the same, with the registry's password if Docker knows one",
                another(part)
            ),
            source,
        })?;
    }
    Ok(())
}

/// Whether `image` is there, or its registry says that it has it.
async fn is_supplied(client: &Docker, image: &Image) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let name = image.to_string();
    if client.inspect_image(&name).await.is_ok() {
        return Ok(());
    }
    client.inspect_registry_image(&name, None).await?;
    Ok(())
}

/// How a part gets another image.
fn another(part: Part) -> String {
    format!("`--image {}=NAME` names another; testenv/images/build makes local ones for `--images local`", part.word())
}

/// Makes sure that the image that plays `part` is there and fits, and pulls it if it is not there.
pub(super) async fn have_part(
    client: &Docker,
    part: Part,
    image: &Image,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), EnvironmentError> {
    have(client, part.word(), image, &another(part), tell).await?;
    fits(client, part, image).await
}

/// Makes sure that `image` is there, and pulls it if it is not.
pub(super) async fn have(
    client: &Docker,
    what: &str,
    image: &Image,
    help: &str,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), EnvironmentError> {
    if client.inspect_image(&image.to_string()).await.is_ok() {
        return Ok(());
    }
    tell(&format!("pulling the image {image}"));
    let pulled = GenericImage::new(&image.name, &image.tag).pull_image().await;
    pulled.map(drop).map_err(|error| EnvironmentError::Docker {
        what: format!("the image {image} for {what} is not on this machine and cannot be pulled"),
        help: format!("is its name right, and does the daemon reach its registry? {help}"),
        source: error.into(),
    })
}

/// Refuses an image that declares ports, and not the one that it must serve on. One that declares none is tried.
async fn fits(client: &Docker, part: Part, image: &Image) -> Result<(), EnvironmentError> {
    let inspected = client.inspect_image(&image.to_string()).await.map_err(refused("looking at an image"))?;
    let declared = inspected.config.and_then(|config| config.exposed_ports).unwrap_or_default();
    let missing = part.port().map(|port| format!("{port}/tcp")).filter(|port| !declared.contains(port));
    let Some(missing) = missing.filter(|_| !declared.is_empty()) else { return Ok(()) };
    let (word, public) = (part.word(), part.public());
    Err(EnvironmentError::Docker {
        what: format!("the image {image} cannot be {word}: it serves on {}, not on {missing}", declared.join(", ")),
        help: format!("name an image of the same contract as {public} with `--image {word}=NAME`"),
        source: "by what the image says of itself (EXPOSE)".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::fake::Daemon, *};

    /// What a registry tells of an image that it has.
    const TOLD: &str = r#"{"Descriptor":{"digest":"sha256:0"},"Platforms":[]}"#;

    fn images() -> Images {
        let mut images = Images::default();
        for (part, name) in [(Part::Kafka, "here:1"), (Part::Clickhouse, "afar:2"), (Part::Pipeline, "here:3")] {
            images.set(part, Image::try_from(name.to_owned()).unwrap());
        }
        images
    }

    /// A daemon with the images `here`, whose registry answers `status` for others.
    fn daemon(status: u16) -> Daemon {
        Daemon::answering(move |request| match request {
            "GET /images/here:1/json" | "GET /images/here:3/json" => (200, "{}".into()),
            "GET /distribution/afar:2/json" if status == 200 => (200, TOLD.into()),
            _ => (if status == 200 { 404 } else { status }, r#"{"message":"nobody knows it"}"#.into()),
        })
    }

    #[tokio::test]
    async fn images_that_are_here_or_in_a_registry_can_be_had_and_nothing_is_pulled() {
        let daemon = daemon(200);
        can_be_had_from(&daemon.client(), &images()).await.unwrap();
        let expected = [
            "GET /distribution/afar:2/json",
            "GET /images/afar:2/json",
            "GET /images/here:1/json",
            "GET /images/here:3/json",
        ];
        assert_eq!(daemon.asked(), expected);
    }

    #[tokio::test]
    async fn an_image_that_is_nowhere_is_named() {
        for status in [401, 404, 500] {
            let error = can_be_had_from(&daemon(status).client(), &images()).await.unwrap_err();
            let told = error.to_string();
            assert!(told.contains("the image afar:2 for clickhouse is not on this machine"), "{told}");
            assert!(error.help().contains("`--image clickhouse=NAME`"), "{}", error.help());
        }
    }
}
