package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// KafkaVersion is the version of the broker.
const KafkaVersion = "4.1.0"

// pom names the broker's jars for Maven. The logging backend is left out of
// Kafka's own dependencies; without it a broker that does not start says
// nothing.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + KafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>` + KafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
`

// InstallKafka puts the broker's jars into the home, if they are not there,
// and returns their directory.
func InstallKafka(ctx context.Context, h Home) (lib string, err error) {
	dir := filepath.Join(h.Dir, "kafka-"+KafkaVersion)
	lib = filepath.Join(dir, "lib")
	complete := filepath.Join(dir, "complete")
	return lib, h.locked(func() error {
		_, statErr := os.Stat(complete)
		switch {
		case statErr == nil:
			return h.ensure(ctx, jdk([]string{"java"}, []string{"openjdk-17-jre-headless"}))
		case !errors.Is(statErr, os.ErrNotExist):
			return fmt.Errorf("looking for Kafka's jars: %w", statErr)
		}
		if err := h.ensure(ctx, jdk([]string{"java", "mvn"}, []string{"openjdk-17-jdk-headless", "maven"})); err != nil {
			return err
		}
		if err := h.resolveJars(ctx, dir); err != nil {
			return err
		}
		if err := os.WriteFile(complete, nil, 0o644); err != nil {
			return fmt.Errorf("installing Kafka: %w", err)
		}
		return nil
	})
}

func jdk(programs, packages []string) requirement {
	return requirement{
		service: "kafka", programs: programs, packages: packages,
		advice: "install a JDK from version 17 on and Maven",
	}
}

func (h Home) resolveJars(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("installing Kafka: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
		return fmt.Errorf("installing Kafka: %w", err)
	}
	return h.run(ctx, tool{
		doing: "installing Kafka " + KafkaVersion, dir: dir, name: "mvn",
		args: []string{"-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"},
	})
}
