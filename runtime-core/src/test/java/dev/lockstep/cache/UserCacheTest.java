package dev.lockstep.cache;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;

class UserCacheTest {
  @Test
  void theFolderIsTheUsers() {
    assertThat(UserCache.folder(Map.of("XDG_CACHE_HOME", "/c"))).isEqualTo(Path.of("/c/lockstep"));
    assertThat(UserCache.folder(Map.of()))
        .isEqualTo(Path.of(System.getProperty("user.home"), ".cache", "lockstep"));
  }

  @Test
  void aUserWithoutAHomeHasToNameAFolder() {
    assertThatThrownBy(() -> UserCache.folder(Map.of(), "?"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("XDG_CACHE_HOME");
    assertThat(UserCache.find(Map.of(), "?")).isEmpty();
    assertThat(UserCache.folder(Map.of("XDG_CACHE_HOME", "/c"), "?"))
        .isEqualTo(Path.of("/c/lockstep"));
  }
}
