//go:build linux

package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A row is a kind of trouble, by the names under which they are counted.
type row struct {
	name, what string
	// tried is what tries it beside the scenes: a folder, and the tests there, or files
	// that are cases of one.
	tried []string
	// not is what is not tried of it, or all of it, and why.
	not string
}

// rowsOfFaults are F1 to F22: what breaks around the bridge. Most are scenes.
func rowsOfFaults() []row {
	return []row{
		{"F1", "killed at any moment", []string{
			"cmd/tocsin TestKilledAtRandomMomentsEveryAcknowledgedCrossingIsToldOnce", "bridge/store TestAcknowledgedSurvivesKill TestAttemptThatKillsTheProcessIsCounted",
			"bridge/simulate TestWhateverHappensThePromisesHold", "cmd/tocsin TestRegisteredEndpointSurvivesAKill",
		}, ""},
		{"F2", "killed while it starts", []string{"cmd/tocsin TestRestartByItselfTellsNothing"}, ""},
		{"F3", "power fails", []string{"bridge/store TestAcknowledgedSurvivesPowerFailure", "bridge/history TestTornTailCostsNothingBeforeIt"}, ""},
		{"F4", "bits flip", []string{"bridge/history TestFlippedBitCostsAtMostItsBlockOrWhatFollows", "bridge/store TestFileThatIsNotOursIsRefusedWithARemedy"}, ""},
		{"F5", "the disk is full", []string{
			"cmd/tocsin TestFullDiskAcknowledgesNothingAndHeals", "bridge/store TestFullDiskRefusesAndHeals TestOutcomesWaitWhenThereIsNoSpaceAtAll",
		}, ""},
		{"F6", "a sync fails", []string{"cmd/tocsin TestFailedSyncEndsTheProcessAndLosesNothing", "bridge/store TestFailedSyncEndsAcknowledgement"}, ""},
		{"F7", "the disk is slow", []string{"bridge/simulate TestWhateverHappensThePromisesHold"}, ""},
		{"F8", "the folder is read-only, gone or another's", []string{
			"bridge/store TestReadOnlyDiskIsRefusedWithARemedy TestRemovedFilesBreakTheStore", "bridge/config TestStoreInFolderThatCannotBeWrittenIsRefused",
		}, ""},
		{"F9", "two processes want one folder", []string{"bridge/store TestSecondProcessIsToldWhoHasTheFolder"}, ""},
		{"F10", "files, memory or processor run short", []string{"broker TestBrokerOutlivesALackOfFiles TestListenerOutlivesAcceptErrors TestConnectionsLeaveFilesToOthers", "cmd/tocsin TestFilesAreDivided TestIdleBridgeIsSmall"}, "memory that a cgroup limits: GOMEMLIMIT and the bound of each scene stand for it"},
		{"F11", "a receiver does not answer", []string{
			"cmd/tocsin TestTenKindsOfDeathHoldNobodyUpAndLoseNothing TestBadReceiverLosesNothingAndHarmsNobody", "bridge/webhook TestOneDeadlineOverEverything TestDeadKeptConnectionFailsOneAttemptAndSaysSo",
		}, ""},
		{"F12", "a receiver answers badly", []string{
			"bridge/webhook TestStatusDecides TestRetryAfterIsReadAndBounded TestEndlessAnswersCostLittle TestHTTP2GoAwayCostsNothing TestHTTP2InterimAnswersAreBounded TestBrokenAnswersAreRetriedAndBrokenBodiesAreNot",
			"cmd/tocsin TestABombUnpacksToAGigabyte TestRequestThatComesTooSoonIsSentAgain",
		}, ""},
		{"F13", "names cannot be looked up, or lie", []string{"bridge/webhook TestUnknownNameIsRetried TestRebindingIsRefusedAtDial TestRebindingReachesNothing"}, ""},
		{"F14", "certificates do not vouch", []string{
			"bridge/webhook TestOnlyVerifiedTLSIsSpoken TestPinnedKeyMustVouchForTheEndpoint TestStalledTLSIsGivenUp TestVersionOfTLSCanBeRaised",
			"bridge/config TestRenewedCertificateIsAnotherEndpoint TestClientCertificateThatEndedIsAWarning", "cmd/tocsin TestEndpointKnowsUsByCertificateAndToken",
		}, ""},
		{"F15", "the broker restarts, forgets or is taken over", []string{
			"broker TestClientReconnectsWhenTheBrokerReturns TestLostSessionIsReported TestTwoClientsOfOneNameAreRecognised TestUnsafeMessageComesToTheNextProcess",
		}, "RabbitMQ and aedes: Mosquitto and the broker inside stand for them"},
		{"F16", "the network is cut", []string{"broker TestSilentConnectionIsClosedBeforeItSaysWhoItIs TestKeepaliveIsKept", "bridge/simulate TestWhateverHappensThePromisesHold"}, "towards NATS: nothing speaks it"},
		{"F17", "the clock jumps", []string{
			"bridge/store TestAClockThatWasSetBackDelaysNothing TestEventsAreInOrderOfTimeWhateverTheClock TestAttemptThatWasCutOffIsMadeAgainAtOnceWhateverTheClock",
		}, ""},
		{"F18", "the process stands still", []string{"cmd/tocsin TestConnectionsThatEndWhileWeStandStillSayNothing"}, ""},
		{"F19", "it is reloaded all the time", []string{
			"cmd/tocsin TestSavedFileIsReloadedAndABrokenOneChangesNothing TestHangupReadsAgainAndUnchangedFilesTellNothing TestReloadAndPlanOverHTTP TestFileThatWasEmptiedEndsNoAlarm TestFileThatComesBackWasNeverGone",
		}, ""},
		{"F20", "the files are of another version", []string{
			"bridge/store TestFileOfSchemaOneIsTakenOver TestUpgradedFileIsLikeANewOne TestRefusedUpgradeLeavesTheFileAsItWas",
			"bridge/store TestOlderFileIsCopiedBeforeItIsChanged TestKilledUpgradeLeavesAWholeCopyOrNone TestUpgradeGoesOnWithoutACopy TestWayBackLeadsBack",
		}, "a downgrade is refused; the way back is the copy that the upgrade made"},
		{"F21", "it is asked to stop under load", []string{"cmd/tocsin testdata/script/stop.txtar", "broker TestMessagesUnderWayAreAcknowledgedAtAStop TestStopIsBoundedByOurDeadline"}, ""},
		{"F22", "it runs for a long time", []string{"torture TestSoakHoldsNoMoreInTheEndThanInTheBeginning", "bridge/store TestLogStaysBounded TestDeadEndpointCostsNoMemory"}, "a real day: nobody waits for it"},
	}
}

// rowsOfAccess are A1 to A17: who may do what.
func rowsOfAccess() []row {
	return []row{
		{"A1", "what listens by default", []string{
			"torture TestNothingListensBeyondLoopbackByDefault", "bridge/api TestReachableListenerNeedsAToken",
			"bridge/config testdata/broken/anonymous-beyond-loopback.txtar testdata/broken/http-without-token.txtar",
		}, ""},
		{"A2", "who is nobody", []string{"broker TestAnonymousIsClosedByDefault TestStrangersAreNotTold", "bridge/config testdata/broken/anonymous-never-without-users.txtar"}, ""},
		{"A3", "default credentials", []string{
			"bridge/api TestTokenGuardsNothingWhereNoneIsAskedFor TestReachableListenerNeedsAToken TestTokenIsShownOnceAndKeptNowhere", "cmd/tocsin TestTokensAreMadeUsedAndRevoked TestInitLooksAtTheBrokerThatIsThere",
		}, "a first token: there is none, for loopback needs none, and elsewhere there is no start without one that the operator has written"},
		{"A4", "who may publish what", []string{
			"broker TestAccessIsAsConfigured TestEmptyAccessListDeniesAll TestPlaceholdersAreWholeLevels TestAllowedFilterCoversNoMoreThanItSays TestWillIsCheckedAtConnect TestNothingIsRetained TestDeniedMessageIsDroppedAndDoesNotComeBack TestSubscriptionsAreGrantedQoS0AndBounded FuzzCovers FuzzResolve",
			"bridge/config testdata/broken/user-filters.txtar",
		}, ""},
		{"A5", "who a device is", []string{"bridge/decode TestTopicAndPayloadMustNameTheSameDevice TestUnusableDeviceIDsAreRefused", "broker TestClientIDOfAnotherUserIsRefused TestNamesThatCouldBeMoreAreRefused TestOwnClientIDIsTakenOver"}, ""},
		{"A6", "certificates as users", []string{"broker TestCertificateNamesTheUser TestClientChecksTheBrokersCertificate"}, "revocation lists: there are none; a user that is taken out of the file is refused after a restart"},
		{"A7", "tokens in JWT form", nil, "they are not offered"},
		{"A8", "guessing", []string{
			"broker TestGuessingIsStopped TestUnknownUserCostsWhatAKnownOneCosts TestOneAddressLeavesPlacesToOthers TestNoAddressCrowdsTheDoor",
			"bridge/api TestGuessesAreCounted TestWhoAsksTooOftenIsToldWhenToAskAgain TestTokenIsCountedOverAddresses TestLimiterIsBounded",
		}, ""},
		{"A9", "scopes of the API", []string{
			"bridge/api TestEveryDescribedRouteIsForItsScopeAlone TestScopesAreAsDecided TestOtherRoutesAreForTheirScopeAlone TestTokenInTheAddressIsNoToken TestTokenIsShownOnceAndKeptNowhere TestLastUseIsWritten TestTokenIsRefusedWithItsReason TestStreamEndsWithItsToken",
		}, ""},
		{"A10", "who registers a webhook, and where to", []string{
			"bridge/webhook TestEveryAttackIsHeldOffByATest TestMatrixIsComplete TestNoRoleReachesThePrivate TestRebindingReachesNothing TestBlockedAndUnreachableLookTheSame TestHeadersThatCouldForgeARequestAreRefused",
			"cmd/tocsin TestNothingPrivateIsRegistered TestReceiverProvesThatItWantsToBeOne TestCredentialsDoNotFollowAnEndpointElsewhere", "bridge/config TestRegisteredReachesNothingOfTheMachine",
		}, ""},
		{"A11", "secrets are read nowhere", []string{
			"cmd/tocsin TestNoSecretIsSeenAnywhere TestNoTokenAndNoPasswordOfAProxyIsSeenAnywhere TestShownRequestsHoldNoSecret", "bridge/webhook TestNoErrorShowsASecret TestAnswerThatQuotesTheRequestShowsNoCredential", "bridge/config TestSecretsAreNeverPrinted TestExcerptsShowNoSecret",
			"bridge/store TestRegisteredIsSealedOutsideOfTheDatabase", "torture TestTorture",
		}, ""},
		{"A12", "browsers", []string{
			"bridge/api TestPagesOfOtherOriginsChangeNothing TestPagesOfOtherOriginsOpenNothing TestListedNamesAreAnsweredTo TestAnswersAreOfNoUseToOtherPages", "cmd/tocsin TestPageInABrowser",
		}, "cookies and WebSockets: there are none"},
		{"A13", "files", []string{
			"torture TestFilesAreItsOwn", "bridge/store TestFolderIsOurOwn", "bridge/config testdata/broken/secret-file-readable.txtar testdata/broken/secret-link-out.txtar testdata/broken/rules-link-out.txtar testdata/broken/rules-folder-link-out.txtar testdata/broken/tls-key-readable.txtar TestLinkedConfigurationMayLinkToWhereItIsManaged",
			"cmd/tocsin TestDoctorFindsWhatIsWrong",
		}, ""},
		{"A14", "signatures", []string{
			"bridge/webhook TestAttemptVerifiesWithLibrariesThatAreNotOurs TestLibrariesOfOthersVerifyWhatIsSent TestEveryMutatedByteFailsInEveryScheme TestASecretSignsUntilItExpires TestNoSignatureIsComparedByteByByte TestVerifyExplains TestStripeSignatureIsWhatOpenSSLMakes",
			"cmd/tocsin TestRecordVerifiesWithTheJavaScriptLibrary TestForeignClientsMakeWebhooksThatForeignLibrariesVerify",
		}, ""},
		{"A15", "what it is built of", []string{"torture TestModulesAreThoseOfTheSums TestForeignPackagesAreThoseOfTheLock TestVulnerabilitiesHaveAnAddress TestBuildIsReproducible", "cmd/tocsin TestArchitectureHasNoReplace TestVersionNamesTheTagOrElseTheCommit"},
			"a list of components (SBOM) and signed packages: there are no packages yet; go version -m lists what is in a binary"},
		{"A16", "the unit of systemd", []string{"cmd/tocsin TestUnitLeavesLittleExposed TestDoctorJudgesAUnitAndItsLimits"}, "the unit under a systemd that runs: there is none where this is tested"},
		{"A17", "who changed what", []string{"bridge/api TestWhatChangesSomethingIsAudited TestAuditedTextIsBoundedAndNoToken TestRefusalsTakeLittleOfTheAuditLog TestWhatEndsInAPanicIsAudited", "cmd/tocsin TestReloadsWithoutARequestAreAudited"}, ""},
	}
}

// rowsOfInput are bad input: bytes of MQTT (B), payloads (J), configuration and API (C).
func rowsOfInput() []row {
	return []row{
		{"B1", "packets cut anywhere", []string{"broker FuzzConn TestMalformedBytesHurtOnlyTheirSender"}, ""},
		{"B2", "what the standards forbid a client", []string{"broker TestMalformedBytesHurtOnlyTheirSender TestMosquittoClientsAreServed TestForeignClientOfMQTT5IsServed"}, "statement by statement: the library answers for them, and what it gets wrong has tests of its own"},
		{"B3", "packets changed at random", []string{"broker FuzzConn"}, ""},
		{"B4", "lengths that lie, and slow senders", []string{"broker TestTooLargePacketIsRefusedUnread TestSilentConnectionIsClosedBeforeItSaysWhoItIs TestLivelyClientIsNotCutOff"}, ""},
		{"B5", "packets out of turn", []string{"broker TestMalformedBytesHurtOnlyTheirSender TestExactDuplicateIsAcknowledgedAndNotHandledAgain TestReusedPacketIDEndsTheMemoryOfItsEarlierMessage TestRepeatedQoS2MessageIsHandledOnce"}, ""},
		{"B6", "topics that are none", []string{"broker TestMalformedBytesHurtOnlyTheirSender FuzzResolve", "bridge/decode TestTopicTemplates FuzzTemplate TestUnusableDeviceIDsAreRefused"}, ""},
		{"B7", "properties of MQTT 5", []string{"broker TestMalformedBytesHurtOnlyTheirSender TestUnknownAuthenticationMethodIsRefused TestDelayedWillIsHandledBeforeItsSessionEnds"}, ""},
		{"B8", "client ids", []string{"broker TestClientIDOfAnotherUserIsRefused TestNamesThatCouldBeMoreAreRefused TestPasswordsAndPayloadsAreNotLogged", "cmd/tocsin TestNothingThatOthersSayControlsATerminal"}, ""},
		{"B9", "floods", []string{"broker TestThousandClientsOfOneAddressConnectAtOnce TestBrokerOutlivesALackOfFiles TestFastClientIsReadLater TestPingFloodIsReadLater TestSlowSubscriberHurtsNobodyElse TestConnectionsAreBounded TestConnectionsFromOneAddressAreBounded TestSilentConnectionsKeepNobodyOut"}, ""},
		{"B10", "a hostile broker", []string{"broker TestHostileBrokerHarmsNobody TestRefusedSubscriptionIsReported"}, ""},
		{"J1", "documents that are none", []string{"bridge/decode TestBadDocumentsAreRefusedWithAReason TestDocumentCutAnywhereIsRefused TestScalarPayloads FuzzDecode"}, ""},
		{"J2", "numbers", []string{"bridge/decode TestNumbersAreTheNearestFloats TestStringsAreNotCast TestBareNaNIsRepairedOutsideStringsOnly"}, ""},
		{"J3", "keys", []string{"bridge/decode TestBadDocumentsAreRefusedWithAReason TestKeysWithDotsDoNotCollide TestAbsentValuesAreInvalidAndKeepWhatWasSent TestUnusableNamesAreProblemsNotSamples"}, ""},
		{"J4", "times", []string{"bridge/decode TestDeviceTimeCountsInsideItsWindowOnly TestFormatsOfTime TestTimeWithoutZoneIsReadInTheConfiguredOne TestSamplesOfAMessageAreOrderedByTime"}, ""},
		{"J5", "identity", []string{"bridge/decode TestTopicAndPayloadMustNameTheSameDevice TestUnusableDeviceIDsAreRefused", "rules TestLimitsOnInstancesAndDevices"}, ""},
		{"J6", "text that is an attack elsewhere", []string{"bridge/preset TestHostileTextBreaksNoBodyAndIsNoMarkup", "bridge/webhook TestHostileNameInAHeaderIsRefusedForGood TestMessageCannotLeaveItsEndpointOrForgeItsFrame", "cmd/tocsin TestTailedTextIsHarmless TestRejectedInputIsShownSafely TestTerminalEscapesAndBidiMarksAreNotPrinted TestPageInABrowser"}, ""},
		{"C1", "configuration", []string{"bridge/config TestBrokenConfigurationIsExplained TestManyWarningsRefuseNothing FuzzLoad FuzzLoadRules", "cmd/tocsin TestFailureToStartIsOneClearLine TestErrorsArePrintedOnceOnStandardErrorInOneLine TestSavedFileIsReloadedAndABrokenOneChangesNothing"}, ""},
		{"C2", "requests to the API", []string{"bridge/api TestControlRefusesWhatItCannotUse TestSlowHeadersEnd TestLargeHeadersAreRefused TestOnlyReadingMethodsAreAnswered TestConnectionsAreLimited TestCostlyAnswersTakeTurns", "bridge/webhook TestCheckURLRefusesWhatCannotBeMeant FuzzCheckURL"}, ""},
	}
}

// Nothing that was thought of is forgotten: each row has what tries it, which is there,
// or says why it has not.
func TestEveryRowIsTriedOrSaysWhyNot(t *testing.T) {
	inScenes := map[string][]string{}
	for _, sc := range scenes() {
		inScenes[sc.row] = append(inScenes[sc.row], sc.name)
	}
	rows := slices.Concat(rowsOfFaults(), rowsOfAccess(), rowsOfInput())
	tests := testsBelow(t, "..")
	for _, r := range rows {
		var table strings.Builder
		fmt.Fprintf(&table, "%-4s %s", r.name, r.what)
		for _, name := range inScenes[r.name] {
			fmt.Fprintf(&table, "\n       scene %s", name)
		}
		for _, where := range r.tried {
			folder, names, _ := strings.Cut(where, " ")
			for name := range strings.FieldsSeq(names) {
				fmt.Fprintf(&table, "\n       %s %s", folder, name)
				if !tests[folder+" "+name] && !isFile(filepath.Join("..", folder, name)) {
					t.Errorf("%s: there is no %s in %s (it tried %q: name what does now)", r.name, name, folder, r.what)
				}
			}
		}
		if r.not != "" {
			fmt.Fprintf(&table, "\n       not: %s", r.not)
		}
		if len(inScenes[r.name]) == 0 && len(r.tried) == 0 && r.not == "" {
			t.Errorf("%s: nothing tries it, and nobody says why", r.name)
		}
		t.Log(table.String())
	}
	for name := range inScenes {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			t.Errorf("a scene is of row %s, which there is not", name)
		}
	}
	for prefix, n := range map[string]int{"F": 22, "A": 17, "B": 10, "J": 6} {
		for i := range n {
			if name := fmt.Sprint(prefix, i+1); !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
				t.Errorf("row %s is forgotten", name)
			}
		}
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && filepath.Ext(path) != ""
}

// declared is how gofmt has a test begin.
var declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w*)\(`)

// testsBelow are all tests and fuzz targets, as "bridge/store TestX".
func testsBelow(t *testing.T, root string) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, found := range declared.FindAllSubmatch(text, -1) {
			tests[filepath.ToSlash(folder)+" "+string(found[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
