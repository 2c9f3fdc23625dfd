-- wrk's two hooks: the request to send, and the result as one line of JSON.
-- Arguments: the method, then the length of the body in bytes.

function init(args)
  wrk.method = args[1]
  local length = tonumber(args[2])
  if length > 0 then
    wrk.body = string.rep("x", length)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"mean":%d,"p50":%d,"p99":%d,' ..
    '"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency.mean, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
