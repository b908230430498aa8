package dev.lockstep;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.lang.foreign.Linker;
import org.junit.jupiter.api.Test;

/// What holds for the code of all modules, read from their class files.
final class ArchitectureTest {
  private static final JavaClasses LOCKSTEP =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .withImportOption(location -> !location.contains("-tests.jar"))
          .importPackages("dev.lockstep");

  @Test
  void everyModuleIsRead() {
    assertThat(LOCKSTEP.stream().map(type -> type.getPackageName()))
        .contains(
            "dev.lockstep.tensor",
            "dev.lockstep.collective",
            "dev.lockstep.transport.aeron",
            "dev.lockstep.transport.efa",
            "dev.lockstep.device.cuda",
            "dev.lockstep.device.neuron",
            "dev.lockstep.train",
            "dev.lockstep.launcher",
            "dev.lockstep.examples",
            "dev.lockstep.bench");
  }

  @Test
  void internalsOfTheJdkAreLeftAlone() {
    noClasses()
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage("sun..", "jdk.internal..")
        .check(LOCKSTEP);
  }

  @Test
  void packagesAreNamedByCapability() {
    noClasses()
        .should()
        .resideInAnyPackage(
            "..service..",
            "..impl..",
            "..util..",
            "..utils..",
            "..manager..",
            "..helper..",
            "..common..")
        .check(LOCKSTEP);
  }

  @Test
  void packagesDependOnEachOtherWithoutCycles() {
    slices().matching("dev.lockstep.(**)").should().beFreeOfCycles().check(LOCKSTEP);
  }

  @Test
  void nativeFunctionsAreLinkedInFfiPackages() {
    noClasses()
        .that()
        .resideOutsideOfPackage("..ffi")
        .should()
        .dependOnClassesThat()
        .areAssignableTo(Linker.class)
        .check(LOCKSTEP);
  }

  @Test
  void noStateIsStatic() {
    fields()
        .that()
        .areStatic()
        .and()
        .areDeclaredInClassesThat()
        .resideOutsideOfPackage("..jmh_generated..")
        .should()
        .beFinal()
        .check(LOCKSTEP);
  }
}
