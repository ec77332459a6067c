# phyda on the processor. Build: docker build -t phyda .
# Run: docker run --rm -v "$PWD:/data" --user "$(id -u)" phyda assimilate -b bg.grib2 -y obs.bufr -o analysis.grib2
FROM python:3.13-slim

RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch
COPY . /src
RUN pip install --no-cache-dir '/src[plot]' && rm -rf /src

WORKDIR /data
ENTRYPOINT ["phyda"]
