package webhook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// attacks lists what somebody could try against a sender of webhooks, and the
// tests that hold each off: of this package, or of the folder that is named.
func attacks() []attack {
	return []attack{
		{"S1", "an address that is not public", `TestNoRoleReachesThePrivate TestOnlyPublicAddressesAreDialled TestAllowedRangesOpenWhatTheyName
			TestPrivateAddressesAreNotReached TestControlsOfTheMatrixAreAdmitted TestTokenServerIsGuardedLikeTheEndpoint`},
		{"S2", "a name that leads elsewhere the second time", `TestRebindingReachesNothing TestRebindingIsRefusedAtDial TestPolicyThatChangedHoldsForKeptConnections
			TestEndpointIsReachedThroughItsProxy`},
		{"S3", "a redirect", `TestNoRoleReachesThePrivate TestPrivateAddressesAreNotReached TestStatusDecides TestNothingIsSentWithoutAToken`},
		{"S4", "a proxy that nobody configured, or a way around the one that is", `TestProxyOfTheEnvironmentIsIgnored TestNoRoleReachesThePrivate
			TestProxyThatLooksNamesUpIsGivenThem`},
		{"S5", "a URL that parsers read differently", `TestCheckURLRefusesWhatCannotBeMeant TestProxyURLThatCannotWorkIsRefused TestOnlyListedPortsAreConnectedTo
			TestMessageCannotLeaveItsEndpointOrForgeItsFrame`},
		{"S6", "a loop back to ourselves", `TestOwnListenersAreToldNothing TestAnswersLeaveNoTraceInLaterAttempts ../api/TestOwnWebhooksAreRefusedAsALoop
			../config/TestBrokenConfigurationIsExplained`},
		{"S7", "a line end in a header", `TestHeadersThatCouldForgeARequestAreRefused TestHostileNameInAHeaderIsRefusedForGood TestUnfitMessagesAreNotSent
			TestMessageCannotLeaveItsEndpointOrForgeItsFrame TestAMessageCannotSetASignature`},
		{"S8", "a text that becomes markup, or breaks the body", `../preset/TestHostileTextBreaksNoBodyAndIsNoMarkup ../preset/TestLoneSurrogatesBreakNoBody
			../preset/TestTemplateThatCouldFailAtNightDoesNotLoad`},
		{"S9", "a receiver that is slow on purpose", `TestOneDeadlineOverEverything TestStalledTLSIsGivenUp TestHTTP2KeepsTheSameLimits TestHTTP2InterimAnswersAreBounded
			TestProxyThatDoesNotConnectIsNamed`},
		{"S10", "an answer without an end", `TestEndlessAnswersCostLittle TestBrokenAnswersAreRetriedAndBrokenBodiesAreNot TestBodyIsKeptUpToItsLimit
			TestHTTP2KeepsTheSameLimits TestAnswersLeaveNoTraceInLaterAttempts`},
		{"S11", "somebody in between", `TestOnlyVerifiedTLSIsSpoken TestPinnedKeyMustVouchForTheEndpoint TestVersionOfTLSCanBeRaised TestClientCertificateIsShown
			TestNothingIsSentWithoutAToken ../config/TestRenewedCertificateIsAnotherEndpoint`},
		{"S12", "a message that was not ours", `TestSignatureMatchesTheVectors TestV1aMatchesTheVector TestGitHubMatchesTheVector TestLibrariesOfOthersVerifyWhatIsSent
			TestEveryMutatedByteFailsInEveryScheme TestASecretSignsUntilItExpires TestEachAttemptHasTheSameIDAndItsOwnTimestamp`},
		{"S13", "a signature that is guessed by the time it takes", `TestNoSignatureIsComparedByteByByte`},
		{"S14", "a clock that is wrong, or set", `TestReceiversClockIsComparedWithOurs ../TestEveryEventIsAcceptedOnceAndInOrderOrCounted
			../TestFallbackIsToldInTimeByAClockThatWasSetBack ../store/TestAClockThatWasSetBackDelaysNothing`},
		{"S15", "secrets where they are kept", `TestSecretNeverPrints TestCredentialsPrintAsNothing ../config/TestSecretsAreNeverPrinted
			../config/TestExcerptsShowNoSecret ../../cmd/tocsin/TestNoSecretIsSeenAnywhere`},
		{"S16", "secrets in what is logged", `TestNoErrorShowsASecret TestNoErrorOfNewShowsASecret TestErrorsAreOneLineWithoutSecrets TestSenderPrintsNoSecret
			TestAnswerThatQuotesTheRequestShowsNoCredential ../../cmd/tocsin/TestNoTokenAndNoPasswordOfAProxyIsSeenAnywhere`},
		{"S17", "a Retry-After of a lifetime", `TestRetryAfterIsReadAndBounded`},
		{"S18", "a URL whose owner wants no webhooks", `TestChallengeIsProvedByItsText TestNothingIsDeliveredWithoutConsent TestOnlyTheHeadersAreConsent
			../TestHostIsNotToldMoreBecauseItHasManyEndpoints`},
		{"S19", "everything at once when a receiver is back", `../TestOpenBreakerLetsOneProbeThroughAtATime ../TestSlowStartDoublesEverySecond`},
		{"S20", "an answer that controls who reads it", `../../cmd/tocsin/TestNothingThatOthersSayControlsATerminal
			../../cmd/tocsin/TestTerminalEscapesAndBidiMarksAreNotPrinted ../api/TestAnswersAreOfNoUseToOtherPages`},
		{"S21", "more than there is room for", `../TestFullBacklogIsDroppedCountedAndLogged ../store/TestFullDiskRefusesAndHeals
			../../cmd/tocsin/TestFullDiskAcknowledgesNothingAndHeals`},
		{"S22", "somebody who may read and would do more", `../api/TestEveryDescribedRouteIsForItsScopeAlone ../api/TestOtherRoutesAreForTheirScopeAlone`},
		{"S23", "an endpoint that says more than whom registers it may", `../config/TestRegisteredReachesNothingOfTheMachine ../config/TestOperatorWidensTheWayOfWhatIsRegistered
			../../cmd/tocsin/TestNothingPrivateIsRegistered ../../cmd/tocsin/TestReceiverProvesThatItWantsToBeOne
			../../cmd/tocsin/TestConfigurationAndRegistrationsKeepTheirNames ../../cmd/tocsin/TestFormerEndpointsBacklogIsNotForItsNamesake`},
		{"S24", "an error that maps our network", `TestBlockedAndUnreachableLookTheSame`},
	}
}

type attack struct{ id, what, tests string }

func TestEveryAttackIsHeldOffByATest(t *testing.T) {
	listed := map[string]bool{}
	for _, a := range attacks() {
		if listed[a.id] {
			t.Errorf("%s is listed twice", a.id)
		}
		listed[a.id] = true
		for name := range strings.FieldsSeq(a.tests) {
			folder, name := filepath.Split(name)
			if !defined(t, filepath.Join(".", folder), name) {
				t.Errorf("%s, %s: there is no %s in %q", a.id, a.what, name, folder)
			}
		}
	}
	for n := range 25 {
		if n == 0 {
			continue
		}
		if id := fmt.Sprintf("S%d", n); !listed[id] {
			t.Errorf("%s is held off by no test", id)
		}
	}
}

// defined reports whether a folder has a test of that name.
func defined(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", folder, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

// TestMatrixIsComplete holds the rows that the roles are played with to what is
// known to be tried.
func TestMatrixIsComplete(t *testing.T) {
	have := map[string]bool{}
	for _, h := range hosts() {
		have[strings.TrimSuffix(strings.Trim(h, "[]"), ".")] = true
	}
	for row := range strings.FieldsSeq(`
		127.0.0.1 127.1 127.255.255.254 0.0.0.0 0 2130706433 0x7f000001 0177.0.0.1 017700000001
		10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 169.254.169.254 169.254.170.2 192.0.0.192
		192.0.0.1 192.0.0.255 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255
		:: ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 0:0:0:0:0:ffff:a9fe:a9fe 64:ff9b::7f00:1 64:ff9b:1::a00:1
		2002:7f00:1:: 2001:0::1 fc00::1 fd00:ec2::254 fe80::1%25eth0 fec0::1 ff02::1 100::1 2001:db8::1 5f00::1
		localhost LOCALHOST foo.localhost metadata.google.internal kubernetes.default.svc host.docker.internal
		private4.test private6.test mixed.test cname.test many.test`) {
		if !have[row] {
			t.Errorf("%s is not played", row)
		}
	}
	if len(hosts()) < 90 {
		t.Errorf("%d hosts", len(hosts()))
	}
}
