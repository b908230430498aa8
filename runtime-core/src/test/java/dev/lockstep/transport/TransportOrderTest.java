package dev.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.DeviceProvider;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Plug-ins are found whatever the thread's context class loader knows.
@Timeout(60)
class TransportOrderTest {
  @TempDir Path folder;

  private static void findsOurs(@Nullable ClassLoader context) {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(context);
    try {
      assertThat(TransportOrder.installed()).containsKeys("in-process", "shm");
      assertThat(DeviceProvider.installed())
          .extracting(DeviceProvider::name)
          .containsOnlyOnce("cpu");
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  @Test
  void pluginsAreFoundBesideAContextThatKnowsNoneOfThem() {
    findsOurs(ClassLoader.getPlatformClassLoader());
    findsOurs(null);
  }

  @Test
  void whatAContextKnowsOfAnotherCopyIsPassedOver() throws IOException {
    Path services = Files.createDirectories(folder.resolve("META-INF/services"));
    for (Class<?> service : new Class<?>[] {TransportProvider.class, DeviceProvider.class}) {
      Files.writeString(
          services.resolve(service.getName()), "java.util.ArrayList\nno.such.Provider\n");
    }
    URL[] urls = {folder.toUri().toURL()};
    try (URLClassLoader context = new URLClassLoader(urls, ClassLoader.getPlatformClassLoader())) {
      findsOurs(context);
    }
  }
}
