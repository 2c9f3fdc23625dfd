-- Tell wrk the request to send, and print the result as a line of JSON.
-- Arguments: the method, the length of the body in bytes, the number of query strings to take in turn, the word
-- in the path or a header that is replaced by another number in each request.

function init(args)
  wrk.method = args[1]
  local length, targets = tonumber(args[2]), tonumber(args[3])
  if length > 0 then
    wrk.body = string.rep("x", length)
  end
  if targets > 0 then
    local requests, last = {}, 0
    for i = 1, targets do
      requests[i] = wrk.format(nil, wrk.path .. "?number=" .. i)
    end
    function request()
      last = last % targets + 1
      return requests[last]
    end
    return
  end
  local pieces, position, template, word = {}, 1, wrk.format(), args[4]
  for first, behind in template:gmatch("()" .. word .. "()") do
    pieces[#pieces + 1] = template:sub(position, first - 1)
    position = behind
  end
  if #pieces > 0 then
    local number = 0
    pieces[#pieces + 1] = template:sub(position)
    function request()
      number = number + 1
      return table.concat(pieces, string.format("%08d", number))
    end
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
