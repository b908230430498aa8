package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.plan.LinkTable;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
final class LinkChoiceTest {
  private static String key(String... hosts) {
    return LinkChoice.key("efa", List.of(hosts));
  }

  @Test
  void linksBetweenHostsAreThoseOfTheseHosts() {
    assertThat(key("a", "b", "c")).isEqualTo(key("a", "c", "b"));
    assertThat(key("a", "b", "c")).isNotEqualTo(key("a", "b", "d"));
    assertThat(key("a", "a", "b", "b")).isNotEqualTo(key("a", "a", "c", "c"));
    assertThat(key("a", "a", "b")).isNotEqualTo(key("a", "b", "b"));
  }

  @Test
  void linksOfOneHostAreThoseOfThatHost() {
    assertThat(key("a", "a")).isEqualTo(LinkTable.key("efa", 2, 1, "a"));
  }
}
