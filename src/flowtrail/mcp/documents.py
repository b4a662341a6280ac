"""The GraphQL documents that the wrapper sends; tests hold them to schema.graphql, so that every released wrapper keeps
working.
"""

REGISTER_FLOWS = """\
mutation RegisterFlows($input: RegisterFlowsInput!) {
  registerFlows(input: $input) {
    flows {
      id
    }
  }
}
"""

RECORD_EVENTS = """\
mutation RecordEvents($input: RecordEventsInput!) {
  recordEvents(input: $input) {
    receipts {
      outcome
      code
      reason
    }
  }
}
"""

REPORT_RECORDER = """\
mutation ReportRecorder($input: RecorderReportInput!) {
  reportRecorder(input: $input) {
    recorder {
      lastSeenAt
    }
  }
}
"""
